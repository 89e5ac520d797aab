#include "node_agent/base/cgroup_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace lanyard {
namespace {

constexpr std::string_view kUp = "/..";

// How far the root of this mount lies above our cgroup namespace; no value for a root that lies elsewhere.
std::optional<size_t> LevelsAbove(std::string_view root) {
  if (root == "/") return 0;
  size_t levels = 0;
  for (; root.starts_with(kUp); root.remove_prefix(kUp.size())) ++levels;
  return root.empty() ? std::optional(levels) : std::nullopt;
}

// The inode number of what is to be seen at the mount point; no value when another file system is mounted on top of it.
std::optional<uint64_t> InodeAt(const Mount& mount) {
  struct statx info {};
  constexpr unsigned kWanted = STATX_INO | STATX_MNT_ID;
  if (statx(AT_FDCWD, mount.mount_point.c_str(), AT_SYMLINK_NOFOLLOW, kWanted, &info) != 0) return std::nullopt;
  const bool on_top = (info.stx_mask & STATX_MNT_ID) != 0 && info.stx_mnt_id == mount.id;
  return on_top ? std::optional(info.stx_ino) : std::nullopt;
}

// The directory with this inode number, `levels` below `directory`, as a path from there.
std::optional<std::string> FindBelow(const std::string& directory, size_t levels, uint64_t inode) {
  const std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(directory.c_str()), closedir);
  if (open == nullptr) return std::nullopt;
  while (const dirent* entry = readdir(open.get())) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    const std::string name = fmt::format("/{}", entry->d_name);
    if (levels == 1 && entry->d_ino == inode) return name;
    if (levels == 1) continue;
    if (const auto found = FindBelow(directory + name, levels - 1, inode)) return name + *found;
  }
  return std::nullopt;
}

// /proc/self/ns/cgroup; the inode number is one of the kernel's fixed ones (PROC_CGROUP_INIT_INO).
bool InFirstNamespace() {
  constexpr uint64_t kFirst = 0xEFFFFFFB;
  struct stat info {};
  if (stat("/proc/self/ns/cgroup", &info) != 0) return errno == ENOENT;  // a kernel without cgroup namespaces
  return info.st_ino == kFirst;
}

bool SameHierarchy(const Mount& a, const Mount& b) {
  return a.fs_type == b.fs_type && (a.fs_type == "cgroup2" || a.super_options == b.super_options);
}

}  // namespace

CgroupTree CgroupTree::Find(std::span<const Mount> mounts) {
  CgroupTree tree;
  const bool first_namespace = InFirstNamespace();
  tree.sees_all_ = first_namespace || !mounts.empty();
  std::vector<const Mount*> seen;
  for (const Mount& first : mounts) {
    const auto same = [&](const Mount* other) { return SameHierarchy(first, *other); };
    if (std::any_of(seen.begin(), seen.end(), same)) continue;
    seen.push_back(&first);

    const Mount *highest = nullptr, *own = nullptr;
    size_t levels = 0;
    uint64_t own_inode = 0;
    for (const Mount& mount : mounts) {
      const auto above = SameHierarchy(first, mount) ? LevelsAbove(mount.root) : std::nullopt;
      const auto inode = above ? InodeAt(mount) : std::nullopt;
      if (!inode) continue;
      if (highest == nullptr || *above > levels) {
        highest = &mount;
        levels = *above;
      }
      if (*above == 0) {
        own = &mount;
        own_inode = *inode;
      }
    }
    if (levels == 0) tree.sees_all_ = first_namespace;
    if (highest == nullptr) continue;
    Hierarchy hierarchy{first.fs_type == "cgroup2", first.super_options, highest->mount_point, ""};
    if (levels > 0) {
      const auto path = own != nullptr ? FindBelow(highest->mount_point, levels, own_inode) : std::nullopt;
      if (!path) {
        tree.sees_all_ = first_namespace;
        continue;
      }
      hierarchy.own = *path;
    }
    tree.hierarchies_.push_back(std::move(hierarchy));
  }
  return tree;
}

const CgroupTree::Hierarchy* CgroupTree::Of(const CgroupMembership& cgroup) const {
  const auto found = std::find_if(hierarchies_.begin(), hierarchies_.end(), [&](const Hierarchy& hierarchy) {
    return cgroup.v2() ? hierarchy.v2 : !hierarchy.v2 && HasMountOption(hierarchy.options, cgroup.controllers[0]);
  });
  return found == hierarchies_.end() ? nullptr : &*found;
}

Result<std::string> CgroupTree::RootOf(const CgroupMembership& cgroup) const {
  if (const Hierarchy* hierarchy = Of(cgroup)) return hierarchy->directory;
  return Error(StatusCode::kFailedPrecondition, "the hierarchy is not mounted from its root where the node agent runs");
}

CgroupMembership CgroupTree::FromRoot(CgroupMembership cgroup) const {
  const Hierarchy* hierarchy = Of(cgroup);
  if (hierarchy == nullptr || hierarchy->own.empty()) return cgroup;
  std::string_view base = hierarchy->own, rest = cgroup.path;
  while (rest == kUp || rest.starts_with("/../")) {
    if (base.empty()) return cgroup;  // above the root: not a path of this hierarchy
    base = base.substr(0, base.rfind('/'));
    rest.remove_prefix(kUp.size());
  }
  if (rest == "/") rest = "";
  std::string path = fmt::format("{}{}", base, rest);
  cgroup.path = path.empty() ? "/" : std::move(path);
  return cgroup;
}

}  // namespace lanyard
