// Whose mounts a process sees: the node's root's, or those of somebody in a user namespace of his own.
//
// Thread: any.
#pragma once

#include "attestors/subject.h"
#include "node_agent/base/mounts.h"
#include "node_agent/base/status.h"

namespace lanyard {

// True when the mount namespace of `process` belongs to the node agent's own user namespace: whoever mounted something
// in it needed root's privilege on the node. Asked after what was mounted has been read: a process can go from such a
// namespace to one of its own, not back. `mounts`: of the node agent.
Result<bool> OnlyRootMounts(const ProcDir& process, const MountTable& mounts);

}  // namespace lanyard
