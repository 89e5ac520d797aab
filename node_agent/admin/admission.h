// Who may speak to the admin socket.
//
// The socket's mode and its directory keep others out, but uid 0 in a container passes every mode. So the peer itself
// is looked at: root, the node agent's own uid, or a member of the configured group; and in the node agent's own user
// namespace and, unless the configuration allows others, its pid namespace.
//
// Thread: any. Fails closed: what cannot be found out is a refusal.
#pragma once

#include <optional>

#include "node_agent/base/process.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct AdminAdmission {
  enum class PidNamespaces { kOwnOnly, kAny };

  std::optional<gid_t> group;
  PidNamespaces pid_namespaces = PidNamespaces::kOwnOnly;

  // OK, or PermissionDenied with the reason.
  Status Check(const PeerProcess& peer) const;
};

// The gid of the group called `name`. NotFound when there is none.
Result<gid_t> FindGroup(const std::string& name);

}  // namespace lanyard
