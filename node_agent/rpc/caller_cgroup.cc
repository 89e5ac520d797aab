#include "node_agent/rpc/caller_cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "node_agent/base/cgroups.h"
#include "node_agent/base/file.h"
#include "node_agent/base/log.h"

namespace lanyard {
namespace {

constexpr int kMostPlainLevels = 4;  // "/kubepods/burstable/pod…/…" has four
constexpr size_t kContainerIdDigits = 64;

bool IsSlice(std::string_view name) {
  return name.ends_with(".slice");
}

// systemd.unit(5): the kinds that processes are put into.
bool IsUnit(std::string_view name) {
  return name.ends_with(".service") || name.ends_with(".scope") || name.ends_with(".socket") ||
         name.ends_with(".mount") || name.ends_with(".swap");
}

bool IsUserSlice(std::string_view name) {
  constexpr std::string_view kBegin = "user-", kEnd = ".slice";
  if (!name.starts_with(kBegin) || !name.ends_with(kEnd) || name.size() <= kBegin.size() + kEnd.size()) return false;
  name.remove_prefix(kBegin.size());
  name.remove_suffix(kEnd.size());
  return std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "…<64 hex digits>", as Docker, containerd, CRI-O and Podman name them.
bool IsContainer(std::string_view name) {
  if (name.size() < kContainerIdDigits) return false;
  name.remove_prefix(name.size() - kContainerIdDigits);
  return std::all_of(name.begin(), name.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// The length of the part of `path` that is somebody's own; 0: nobody's.
size_t OwnLength(std::string_view path) {
  size_t at = 0;
  int plain = 0;
  while (at + 1 < path.size()) {
    const size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view name = path.substr(at + 1, end - at - 1);
    if (plain == 0) {
      if (IsUserSlice(name) || IsUnit(name)) return end;
    } else if (IsSlice(name) || IsUnit(name)) {
      return at;  // a systemd inside of it
    }
    if (IsContainer(name)) return end;
    if (name != ".." && !IsSlice(name) && ++plain == kMostPlainLevels) return end;
    at = end;
  }
  return plain == 0 ? 0 : path.size();
}

bool CouldWrite(const struct statx& directory, const PeerProcess& peer) {
  // Its supplementary groups are not known, and need not be: cgroup directories that a group may write are rare.
  return directory.stx_uid == peer.uid || (directory.stx_mode & (S_IWGRP | S_IWOTH)) != 0;
}

int Preference(const CgroupMembership& cgroup) {
  if (cgroup.v2()) return 1;
  const std::string& controller = cgroup.controllers.front();
  if (controller == "name=systemd") return 0;
  return controller == "pids" ? 2 : controller == "memory" ? 3 : 4;
}

// In the order in which they count, from the roots of their hierarchies where `mounts` (may be null) tells these.
Result<std::vector<CgroupMembership>> ReadInOrder(const std::string& path, const MountTable* mounts) {
  ASSIGN_OR_RETURN(std::vector<CgroupMembership> cgroups, ReadCgroups(path));
  for (CgroupMembership& cgroup : cgroups) {
    if (mounts != nullptr) cgroup = mounts->cgroup_tree.FromRoot(std::move(cgroup));
  }
  std::stable_sort(cgroups.begin(), cgroups.end(),
                   [](const CgroupMembership& a, const CgroupMembership& b) { return Preference(a) < Preference(b); });
  return cgroups;
}

}  // namespace

std::optional<std::string_view> OwnCgroup(std::string_view path, std::string_view agent) {
  size_t length = 0;
  for (;;) {
    const size_t more = OwnLength(path.substr(length));
    if (more == 0) return std::nullopt;
    length += more;
    if (!IsCgroupWithin(agent, path.substr(0, length))) return path.substr(0, length);
  }
}

CallerCgroups::CallerCgroups(OwnMounts& mounts) : mounts_(mounts) {
  const std::shared_ptr<const MountTable> table = mounts_.Current().value_or(nullptr);
  Result<std::vector<CgroupMembership>> own = ReadInOrder(kOwnCgroups, table.get());
  if (!own.ok()) LANYARD_LOG_WARN("read the node agent's own cgroups: {}", Message(own.status()));
  if (own.ok()) agent_ = *std::move(own);
}

AccountName AccountOfUid(uid_t uid) {
  return {fmt::format("uid {}", uid), "the other users"};
}

AccountName CallerCgroups::AccountOf(const PeerProcess& peer) {
  const std::shared_ptr<const MountTable> mounts = mounts_.Current().value_or(nullptr);
  const Result<std::vector<CgroupMembership>> cgroups = ReadInOrder(peer.process->ProcPath("cgroup"), mounts.get());
  // What was read may be another process's, of the same pid.
  if (!cgroups.ok() || !peer.process->StillRunning()) return AccountOfUid(peer.uid);
  for (const CgroupMembership& cgroup : *cgroups) {
    auto part = OwnCgroup(cgroup.path, AgentPath(cgroup));
    if (part && peer.uid != 0) part = MadeByOthers(cgroup, *part, peer, mounts.get());
    if (!part || IsCgroupWithin(AgentPath(cgroup), *part)) continue;
    return {fmt::format("cgroup {}", *part),
            fmt::format("the other cgroups below {}", ParentDirectory(std::string(*part)))};
  }
  return AccountOfUid(peer.uid);
}

std::string_view CallerCgroups::AgentPath(const CgroupMembership& cgroup) const {
  const auto same = std::find_if(agent_.begin(), agent_.end(),
                                 [&](const CgroupMembership& own) { return own.controllers == cgroup.controllers; });
  return same == agent_.end() ? std::string_view() : same->path;
}

std::optional<std::string_view> CallerCgroups::MadeByOthers(const CgroupMembership& cgroup, std::string_view part,
                                                            const PeerProcess& peer, const MountTable* mounts) {
  const auto root = mounts != nullptr ? mounts->cgroup_tree.RootOf(cgroup).value_or("") : "";
  // Not to be seen from here: then nothing is known but the path.
  if (root.empty() || part.starts_with("/..")) return part;
  for (size_t end = 0; end <= part.size();) {
    struct statx directory {};
    const std::string path = fmt::format("{}{}", root, part.substr(0, end));
    if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_MODE | STATX_UID, &directory) != 0) return part;
    if (CouldWrite(directory, peer)) return end == 0 ? std::nullopt : std::optional(part.substr(0, end));
    if (end == part.size()) break;
    end = std::min(part.find('/', end + 1), part.size());
  }
  return part;
}

}  // namespace lanyard
