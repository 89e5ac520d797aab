// Where the agent's sockets are: from a flag, the environment, or the default.
//
// Only Unix sockets: over TCP the kernel does not say who calls, so there would be nothing to attest.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

// `flag`, unless empty; else $SPIFFE_ENDPOINT_SOCKET, unless unset or empty; else /run/lanyard/workload.sock. An error
// says where the bad address came from.
Result<std::string> ResolveWorkloadSocket(const std::string& flag);
// The same with $LANYARD_ADMIN_SOCKET and /run/lanyard-admin/admin.sock.
Result<std::string> ResolveAdminSocket(const std::string& flag);

}  // namespace lanyard
