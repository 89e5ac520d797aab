// Is the cgroup that a caller is in a statement about the caller, or by it?
//
// A cgroup identifies because somebody else put the process there. A user to whom a part of the tree is delegated (as
// systemd does below user@UID.service) can make cgroups of any name and move its processes in and out. So for a caller
// that is not uid 0, a cgroup counts only if none of the directories from the hierarchy's root down to it, nor the
// files of the last one that move processes (cgroup.procs, and cgroup.threads or tasks), is writable by any of the
// caller's uids or groups. Uid 0 could write all of them: its cgroup counts as the kernel reports it. Mode bits are all
// there is: cgroupfs has no POSIX ACLs.
//
// Thread: any. Never blocks: cgroupfs has no server behind it.
#pragma once

#include <string_view>

#include "node_agent/base/mounts.h"
#include "node_agent/base/procfs.h"
#include "node_agent/base/status.h"

namespace lanyard {

enum class CgroupTrust {
  kTrusted,
  kCallerCouldWriteIt,
};

// An error when it cannot be found out: the path lies outside the node agent's cgroup namespace, the hierarchy is not
// mounted here from its root, or the cgroup is gone.
Result<CgroupTrust> CheckCgroupTrust(const CgroupMembership& cgroup, const ProcStatus& caller,
                                     const MountTable& mounts);

// True when only root could have given the last name of `path` (one directory or several from the hierarchy's root of
// `cgroup`) to what bears it: no directory that holds one of its names belongs to or may be written by anybody else.
//
// CheckCgroupTrust asks about the caller alone. That is not enough where a name far down is looked for: a user may have
// processes of other uids (its subordinate ones) and put them into a cgroup that it named after somebody's container.
Result<bool> NamedByRoot(const CgroupMembership& cgroup, std::string_view path, const MountTable& mounts);

// True when the path leads out of the node agent's cgroup namespace ("/../x"), so that not even its name is known.
bool OutsideCgroupNamespace(const CgroupMembership& cgroup);

}  // namespace lanyard
