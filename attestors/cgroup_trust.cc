#include "attestors/cgroup_trust.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

namespace lanyard {
namespace {

bool Owns(const ProcStatus::Ids& ids, uint32_t id) {
  return id == ids.real || id == ids.effective || id == ids.saved || id == ids.file_system;
}

// Wider than the kernel's own check, which looks at one class of bits only and at one uid: an owner may change the
// mode, and a saved uid may become the effective one. Uid 0 among them does not count: who can become root is trusted
// as root is.
bool CouldWrite(const struct statx& file, const ProcStatus& caller) {
  if (file.stx_uid != 0 && Owns(caller.uid, file.stx_uid)) return true;
  const bool in_group = Owns(caller.gid, file.stx_gid) ||
                        std::find(caller.groups.begin(), caller.groups.end(), file.stx_gid) != caller.groups.end();
  return ((file.stx_mode & S_IWGRP) != 0 && in_group) || (file.stx_mode & S_IWOTH) != 0;
}

constexpr unsigned kWanted = STATX_MODE | STATX_UID | STATX_GID | STATX_TYPE;

Result<struct statx> LookAt(const std::string& path) {
  struct statx info {};
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, kWanted, &info) != 0)
    return ErrnoStatus(errno, fmt::format("look at {}", path));
  return info;
}

Result<bool> CallerCouldWrite(const std::string& path, const ProcStatus& caller) {
  ASSIGN_OR_RETURN(const struct statx info, LookAt(path));
  return CouldWrite(info, caller);
}

// Takes the first name of `rest` with the slash before it; empty at the end.
std::string_view TakeFirst(std::string_view& rest) {
  const size_t end = rest.empty() ? 0 : std::min(rest.find('/', 1), rest.size());
  const std::string_view first = rest.substr(0, end);
  rest.remove_prefix(end);
  return first;
}

}  // namespace

bool OutsideCgroupNamespace(const CgroupMembership& cgroup) {
  return cgroup.path == "/.." || cgroup.path.starts_with("/../");
}

Result<CgroupTrust> CheckCgroupTrust(const CgroupMembership& cgroup, const ProcStatus& caller,
                                     const MountTable& mounts) {
  if (OutsideCgroupNamespace(cgroup)) {
    return Error(StatusCode::kFailedPrecondition, "cgroup {} is outside the node agent's cgroup namespace",
                 cgroup.path);
  }
  if (caller.uid.effective == 0) return CgroupTrust::kTrusted;

  Result<std::string> root = mounts.cgroup_tree.RootOf(cgroup);
  if (!root.ok()) return Annotate(root.status(), "check who may write cgroup {}", cgroup.path);
  std::string path = *std::move(root);
  ASSIGN_OR_RETURN(const bool root_writable, CallerCouldWrite(path, caller));
  if (root_writable) return CgroupTrust::kCallerCouldWriteIt;
  std::string_view rest = cgroup.path == "/" ? std::string_view() : std::string_view(cgroup.path);
  while (!rest.empty()) {
    path += TakeFirst(rest);
    ASSIGN_OR_RETURN(const bool writable, CallerCouldWrite(path, caller));
    if (writable) return CgroupTrust::kCallerCouldWriteIt;
  }
  // cgroups(7): v2 moves processes by cgroup.procs and threads by cgroup.threads, v1 by cgroup.procs and tasks.
  ASSIGN_OR_RETURN(const bool procs, CallerCouldWrite(path + "/cgroup.procs", caller));
  if (procs) return CgroupTrust::kCallerCouldWriteIt;
  const Result<bool> threads = CallerCouldWrite(path + (cgroup.v2() ? "/cgroup.threads" : "/tasks"), caller);
  if (threads.ok()) return *threads ? CgroupTrust::kCallerCouldWriteIt : CgroupTrust::kTrusted;
  // cgroup.threads came with Linux 4.14; without it no thread can be moved.
  if (cgroup.v2() && threads.status().code() == StatusCode::kNotFound) return CgroupTrust::kTrusted;
  return threads.status();
}

Result<bool> NamedByRoot(const CgroupMembership& cgroup, std::string_view path, const MountTable& mounts) {
  Result<std::string> root = mounts.cgroup_tree.RootOf(cgroup);
  if (!root.ok()) return Annotate(root.status(), "check who named cgroup {}", path);
  std::string directory = *std::move(root);
  std::string_view rest = path;
  for (std::string_view name = TakeFirst(rest); !name.empty(); name = TakeFirst(rest)) {
    ASSIGN_OR_RETURN(const struct statx info, LookAt(directory));
    if (info.stx_uid != 0 || (info.stx_mode & S_IWOTH) != 0) return false;
    if (info.stx_gid != 0 && (info.stx_mode & S_IWGRP) != 0) return false;
    directory += name;
  }
  return true;
}

}  // namespace lanyard
