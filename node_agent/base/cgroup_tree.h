// Where the cgroup hierarchies are to be seen, and what cgroups are called from their roots.
//
// A node agent in a container may have a cgroup namespace of its own (cgroup_namespaces(7)). The kernel then tells it
// each cgroup by the way from the agent's own ("/../../pod1/ID"), and shows the roots only where the host's hierarchies
// are mounted as well: mountinfo calls those roots "/../../..". Which directory down there is the agent's own is found
// by its inode number, in the mount that begins with it; then every cgroup can be called what the host calls it.
//
// Thread: any; immutable. Find() looks through one level of the tree where there is such a namespace.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "node_agent/base/procfs.h"
#include "node_agent/base/status.h"

namespace lanyard {

class CgroupTree {
 public:
  // By those of the node agent's own mounts that are of type cgroup or cgroup2.
  static CgroupTree Find(std::span<const Mount> mounts);

  // The directory of ours that shows the root of the hierarchy in which `cgroup` lies. FailedPrecondition when none
  // does.
  Result<std::string> RootOf(const CgroupMembership& cgroup) const;

  // `cgroup`, called from the root of its hierarchy. It stays as it is where that cannot be told: then it begins with
  // "/.." if it lies outside the node agent's cgroup namespace.
  CgroupMembership FromRoot(CgroupMembership cgroup) const;

  // True when no name is hidden from the node agent: it is in the machine's own cgroup namespace, or every hierarchy is
  // to be seen from its root.
  bool sees_all() const { return sees_all_; }

 private:
  struct Hierarchy {
    bool v2;
    std::string options;    // of a v1 hierarchy: its controllers among them
    std::string directory;  // that shows its root
    std::string own;        // the root of our cgroup namespace, from there; empty: the same
  };
  const Hierarchy* Of(const CgroupMembership& cgroup) const;

  std::vector<Hierarchy> hierarchies_;
  bool sees_all_ = false;
};

}  // namespace lanyard
