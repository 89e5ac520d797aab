// The container that a caller runs in, counting only what it cannot have said itself.
//
// The kernel's word is /proc/PID/cgroup. A name in it counts when the cgroup is no statement by the caller
// (cgroup_trust.h), and when root named it: a user to whom a part of the tree is delegated may call a cgroup there
// after any container. What does not count is as if it was not there. A name below the cgroup of another container is
// an error, unless the node agent runs in that one, too: root of a container needs no privilege on the node to make
// cgroups below its own (where user namespaces are allowed), and could call one after a neighbour. That it is a
// container is only known by an id above the name: one without an id of its own (systemd-nspawn without -U, LXC, `ctr
// run NAME`) looks like any other cgroup of root's, and its root can call cgroups below after any container.
//
// Where that text names no container, and the node agent's own cgroup namespace may hide the name, /proc/PID/mountinfo
// is looked at. It lists what was mounted, and whoever owns a mount namespace may mount what it likes: so it counts
// only in mount namespaces that belong to the node agent's own user namespace, where mounting takes root's privilege on
// the node.
//
// Thread: loop. Reads /proc and the cgroup file systems, which have no server behind them.
#pragma once

#include "attestors/container_locator.h"
#include "attestors/subject.h"
#include "node_agent/base/mounts.h"

namespace lanyard {

// A name that is not found() when the caller is in no container; an error when that cannot be found out, or when
// hierarchies contradict each other. With this the caller's cgroups have been read: the attestation fails if they
// change before its end. Found out once for all attestors that ask.
const Result<ContainerName>& FindContainer(const Subject& subject, OwnMounts& mounts);

}  // namespace lanyard
