// Whose cgroup a process is in, so far as that can be told before anything else is known about it.
//
// Callers are limited by their cgroup, since all containers' root processes share uid 0; by their uid where they have
// no cgroup of their own. Which cgroup is a caller's own is a rule about paths, the same for cgroup v1 and v2:
//
//   the root, or a slice itself       nobody's: processes are there because nobody put them anywhere
//   below user-UID.slice              that user's slice: all sessions of a user, his services and his containers are
//   one a unit (*.service, *.scope)       the unit, whatever lies below it: what is inside is made by whoever it is
//   delegated to a container's id                  the container, whatever lies below it any other name the path, to
//   four levels, as far as a slice or a unit that somebody nested there
//
// A cgroup in which the node agent itself is counts as nobody's (a container that is a whole machine, the terminal of a
// developer): the rules then go on below it. A path that a private cgroup namespace hides ("/../web") still tells
// cgroups apart. And a caller that is not uid 0 has what was given to it and not what it made of it: the path ends with
// the first directory that the caller could write. One that its group may write counts as such, whichever group that
// is: of a caller's groups only the first is known here.
//
// With cgroup v1 the hierarchies need not agree. systemd's own is asked first, then v2, pids, memory and the others:
// the first in which the process is in a cgroup of its own counts.
//
// Thread: loop.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/mounts.h"
#include "node_agent/base/process.h"
#include "node_agent/base/procfs.h"
#include "node_agent/rpc/account.h"

namespace lanyard {

// The part of `path` that is somebody's own; nothing when it is nobody's. `agent`: the path of the node agent's cgroup
// in the same hierarchy.
std::optional<std::string_view> OwnCgroup(std::string_view path, std::string_view agent);

class CallerCgroups {
 public:
  // `mounts` outlives it.
  explicit CallerCgroups(OwnMounts& mounts);

  // Never an error: what cannot be read is on the account of the uid.
  AccountName AccountOf(const PeerProcess& peer);

 private:
  std::string_view AgentPath(const CgroupMembership& cgroup) const;
  // `part` of the path, or less of it: as far as somebody else made it. Nothing: the caller could make any. `mounts`
  // may be null.
  static std::optional<std::string_view> MadeByOthers(const CgroupMembership& cgroup, std::string_view part,
                                                      const PeerProcess& peer, const MountTable* mounts);

  OwnMounts& mounts_;
  std::vector<CgroupMembership> agent_;  // the node agent's own, as it was at the start
};

// The account of a process without a cgroup of its own.
AccountName AccountOfUid(uid_t uid);

}  // namespace lanyard
