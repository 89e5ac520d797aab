// Keeps an engine's socket out of the containers that the engine is asked about.
//
// Whoever can reach a container engine can make containers with any labels, so that what an engine says of a container
// into which such a socket is mounted is worth nothing.
//
// Thread: any. May block on the file systems that are mounted: pool only.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

// PermissionDenied when one of `mounted_host_paths` is one of `sockets` or a directory above it, by device and inode,
// so that neither symbolic links nor other names hide it; that the mount is read-only does not matter. Of a socket that
// is not there the directories are looked at. Unavailable when it cannot be found out.
Status CheckMountsDoNotReach(std::span<const std::string> sockets, const std::vector<std::string>& mounted_host_paths);

}  // namespace lanyard
