// What this process uses of the machine, as Prometheus' client libraries count it.
//
// Thread: any. Reads /proc/self, which does not block.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "node_agent/base/status.h"

namespace lanyard {

struct ProcessUsage {
  std::chrono::duration<double> cpu{0};  // user and system
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t threads = 0;
  std::optional<uint64_t> open_fds;  // unknown to an agent that is neither root nor dumpable
  std::optional<uint64_t> max_fds;   // nothing: unlimited
};

Result<ProcessUsage> ReadProcessUsage();

}  // namespace lanyard
