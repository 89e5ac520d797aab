// The socket of a container runtime: connected to only when whoever listens there may be believed, and kept out of the
// containers that the runtime is asked about.
//
// Thread: any.
#pragma once

#include <string>
#include <vector>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

// A connection to the Unix socket, not blocking, that only root or the node agent's own user can have put there and
// listens at (trusted_socket.h): anybody else could say anything of any container. Unavailable, whatever the reason: an
// absent socket says nothing of a container.
Result<UniqueFd> ConnectToRuntime(const std::string& socket_path);

// Whoever can reach a runtime can make containers with any labels, so that what the runtime says of a container into
// which its socket is mounted is worth nothing: PermissionDenied for those. A mount reaches the socket when it is the
// socket or a directory above it, by device and inode, so that neither symbolic links nor other names hide it; that it
// is read-only does not matter. Unavailable when it cannot be found out. May block on the file systems that are
// mounted: pool only.
Status CheckMountsDoNotReach(const std::string& socket_path, const std::vector<std::string>& mounted_host_paths);

}  // namespace lanyard
