// The part of executable_hash.h that blocks: reading one executable in the pool.
//
// Thread: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "attestors/subject.h"
#include "node_agent/base/mounts.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct ReadRequest {
  std::shared_ptr<const ProcDir> process;
  Executable executable;  // as seen on the loop; the file opened must still be it
  std::shared_ptr<const MountTable> mounts;
  uint64_t max_bytes = 0;
};

struct ReadResult {
  std::optional<std::string> sha256;  // no value: the bytes may not be those that run
  bool cacheable = false;
};

// Checks `cancelled` between the pieces.
Result<ReadResult> HashExecutable(const ReadRequest& request, const std::atomic<bool>& cancelled);

// The same for a file already open, whose version at exec was `expected`; what HashExecutable does after opening.
Result<std::string> HashFile(int fd, const FileVersion& before, uint64_t max_bytes, const std::atomic<bool>& cancelled);

// True when a hash of this file may be kept: a local block device, and no change within the two seconds before `now_ns`
// (the kernel's wall clock, since file times are compared with it).
bool MayCache(const FileVersion& file, uint64_t file_system_magic, int64_t now_ns);

}  // namespace lanyard
