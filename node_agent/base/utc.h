// Times as people and documents write them.
//
// Thread: any.
#pragma once

#include <fmt/chrono.h>

#include <string>

#include "node_agent/base/clock.h"

namespace lanyard {

// RFC 3339, whole seconds, e.g. "2026-01-01T00:00:00Z".
inline std::string Utc(WallTime when) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(when)));
}

}  // namespace lanyard
