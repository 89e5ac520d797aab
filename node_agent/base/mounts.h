// The mounts that the node agent itself sees, kept current without reading them each time.
//
// /proc/self/mountinfo of a busy node has thousands of lines; the kernel marks the open file when the table changes, so
// a look costs one poll(2). The table answers two questions: is the executable on a mount of ours (else its path means
// nothing here), and where are the cgroup hierarchies.
//
// Thread: OwnMounts on the loop; a MountTable is immutable and may go anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "node_agent/base/cgroup_tree.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/procfs.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct MountTable {
  std::unordered_map<uint64_t, Mount> by_id;
  std::vector<Mount> cgroups;  // those of type cgroup and cgroup2
  CgroupTree cgroup_tree;
  uint64_t own_mount_namespace = 0;  // inode numbers of the node agent's own namespaces
  uint64_t own_user_namespace = 0;

  // nullptr when the node agent does not have this mount.
  const Mount* Find(uint64_t id) const;
};

class OwnMounts {
 public:
  // As of now. An error when the kernel's table cannot be read; the next call tries again.
  Result<std::shared_ptr<const MountTable>> Current();

 private:
  UniqueFd watch_;  // of /proc/self/mountinfo
  std::shared_ptr<const MountTable> table_;
};

}  // namespace lanyard
