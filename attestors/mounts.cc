#include "attestors/mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "attestors/selector.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr size_t kMaxMountInfo = size_t{64} * 1024 * 1024;  // 100,000 mounts of PATH_MAX/8 each

Result<std::shared_ptr<const MountTable>> ReadTable() {
  auto table = std::make_shared<MountTable>();
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/mountinfo", kMaxMountInfo));
  ASSIGN_OR_RETURN(std::vector<Mount> mounts, ParseMountInfo(text));
  for (Mount& mount : mounts) {
    if (mount.fs_type == "cgroup" || mount.fs_type == "cgroup2") table->cgroups.push_back(mount);
    const uint64_t id = mount.id;
    table->by_id.insert_or_assign(id, std::move(mount));
  }
  ASSIGN_OR_RETURN(const ProcDir self, ProcDir::Open(getpid()));
  ASSIGN_OR_RETURN(const std::string mount_link, self.ReadLink("ns/mnt"));
  ASSIGN_OR_RETURN(table->own_mount_namespace, ParseNamespaceLink("mnt", mount_link));
  ASSIGN_OR_RETURN(const std::string user_link, self.ReadLink("ns/user"));
  ASSIGN_OR_RETURN(table->own_user_namespace, ParseNamespaceLink("user", user_link));
  return std::shared_ptr<const MountTable>(std::move(table));
}

}  // namespace

const Mount* MountTable::Find(uint64_t id) const {
  const auto found = by_id.find(id);
  return found == by_id.end() ? nullptr : &found->second;
}

Result<std::shared_ptr<const MountTable>> OwnMounts::Current() {
  if (!watch_) {
    watch_.reset(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    if (!watch_) return ErrnoStatus(errno, "open /proc/self/mountinfo");
    table_.reset();
  }
  // proc(5): the file is marked POLLERR and POLLPRI once after each change. Asked before reading, so that a change
  // during the reading is seen next time.
  pollfd request{.fd = watch_.get(), .events = POLLPRI, .revents = 0};
  const int changed = poll(&request, 1, 0);
  if (changed < 0 && errno != EINTR) return ErrnoStatus(errno, "poll /proc/self/mountinfo");
  if (changed != 0) table_.reset();
  if (!table_) {
    Result<std::shared_ptr<const MountTable>> table = ReadTable();
    if (!table.ok()) return Annotate(table.status(), "read the node agent's own mounts");
    table_ = *std::move(table);
  }
  return table_;
}

std::optional<std::string> PathInOwnNamespace(const Executable& executable, const MountTable& mounts) {
  if (executable.mount_namespace != mounts.own_mount_namespace) return std::nullopt;
  if (mounts.Find(executable.mount_id) == nullptr) return std::nullopt;
  // The kernel appends " (deleted)" to the name of an unlinked file; a file may also really be called that: neither
  // counts.
  if (executable.link.ends_with(" (deleted)")) return std::nullopt;
  if (!executable.link.starts_with('/') || !FitsInSelector(executable.link)) return std::nullopt;
  return executable.link;
}

}  // namespace lanyard
