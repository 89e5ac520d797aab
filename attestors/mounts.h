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
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "attestors/procfs.h"
#include "attestors/subject.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct MountTable {
  std::unordered_map<uint64_t, Mount> by_id;
  std::vector<Mount> cgroups;        // those of type cgroup and cgroup2
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

// The path of the program, if it can be believed: the process is in the node agent's own mount namespace, and so is the
// mount that the file is on. Both are asked because a file of a foreign namespace can be executed here through a
// descriptor, and then the kernel writes its path as it is there: a bind mount over anything. No value also for a
// deleted file, and for a name that does not fit in a selector.
std::optional<std::string> PathInOwnNamespace(const Executable& executable, const MountTable& mounts);

}  // namespace lanyard
