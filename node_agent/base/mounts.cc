#include "node_agent/base/mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <climits>

#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr size_t kMaxMountInfo = size_t{64} * 1024 * 1024;  // 100,000 mounts of PATH_MAX/8 each

Result<uint64_t> OwnNamespace(std::string_view kind) {
  char link[PATH_MAX];
  const ssize_t length = readlink(fmt::format("/proc/self/ns/{}", kind).c_str(), link, sizeof link);
  if (length < 0) return ErrnoStatus(errno, fmt::format("read link /proc/self/ns/{}", kind));
  return ParseNamespaceLink(kind, std::string_view(link, static_cast<size_t>(length)));
}

Result<std::shared_ptr<const MountTable>> ReadTable() {
  auto table = std::make_shared<MountTable>();
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/mountinfo", kMaxMountInfo));
  ASSIGN_OR_RETURN(std::vector<Mount> mounts, ParseMountInfo(text));
  for (Mount& mount : mounts) {
    if (mount.fs_type == "cgroup" || mount.fs_type == "cgroup2") table->cgroups.push_back(mount);
    const uint64_t id = mount.id;
    table->by_id.insert_or_assign(id, std::move(mount));
  }
  table->cgroup_tree = CgroupTree::Find(table->cgroups);
  ASSIGN_OR_RETURN(table->own_mount_namespace, OwnNamespace("mnt"));
  ASSIGN_OR_RETURN(table->own_user_namespace, OwnNamespace("user"));
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

}  // namespace lanyard
