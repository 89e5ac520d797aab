// The cgroups of a process by the path of its text in /proc, and what lies below what.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/procfs.h"
#include "node_agent/base/status.h"

namespace lanyard {

// More than the longest /proc/PID/cgroup: 15 hierarchies of PATH_MAX. In bytes.
inline constexpr size_t kMaxCgroupText = size_t{64} * 1024;

// What the node agent itself is in, for ReadCgroups.
inline constexpr const char* kOwnCgroups = "/proc/self/cgroup";

// `path`: "/proc/PID/cgroup". Errors: those of ReadFile; Internal when the text is not what cgroups(7) describes.
Result<std::vector<CgroupMembership>> ReadCgroups(const std::string& path);

// True when the cgroup `path` is `directory` or below it; both from the same root.
bool IsCgroupWithin(std::string_view path, std::string_view directory);

}  // namespace lanyard
