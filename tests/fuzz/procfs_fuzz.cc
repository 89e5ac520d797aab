// The kernel's texts about a process: no id, number or path comes out that does not stand in the text, what is accepted
// can be written down again in the kernel's form and read back the same, and every error says something. Of a caller's
// cgroup as much is its own as ends where a directory ends, and the agent is never in it.
#include "node_agent/base/procfs.h"

#include "node_agent/rpc/caller_cgroup.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

template <class Number>
void RequireIn(std::string_view text, Number number) {
  Require(text.find(std::to_string(number)) != std::string_view::npos);
}

size_t CountLines(std::string_view text, std::string_view beginning) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at = std::min(text.find('\n', at), text.size() - 1) + 1)
    count += text.substr(at).starts_with(beginning) ? 1 : 0;
  return count;
}

void CheckStatus(std::string_view text) {
  const auto status = ParseProcStatus(text);
  if (!status.ok()) return RequireTold(status.status(), StatusCode::kInternal);
  const auto write = [](const ProcStatus::Ids& ids) {
    return fmt::format("{}\t{}\t{}\t{}", ids.real, ids.effective, ids.saved, ids.file_system);
  };
  for (const auto& ids : {status->uid, status->gid}) {
    for (const uint32_t id : {ids.real, ids.effective, ids.saved, ids.file_system}) RequireIn(text, id);
  }
  for (const uint32_t group : status->groups) RequireIn(text, group);
  RequireIn(text, status->parent);
  RequireIn(text, status->tracer);
  Require(CountLines(text, "Uid:") == 1 && CountLines(text, "Gid:") == 1 && CountLines(text, "Groups:") == 1);
  Require(status->parent >= 0 && status->tracer >= 0);
  const auto again = ParseProcStatus(
      fmt::format("Name:\tx\nPPid:\t{}\nTracerPid:\t{}\nUid:\t{}\nGid:\t{}\nGroups:\t{} \nNoNewPrivs:\t{}\n",
                  status->parent, status->tracer, write(status->uid), write(status->gid),
                  fmt::join(status->groups, " "), status->no_new_privs ? 1 : 0));
  Require(again.ok() && again->uid == status->uid && again->gid == status->gid && again->groups == status->groups);
  Require(again->parent == status->parent && again->tracer == status->tracer);
  Require(again->no_new_privs == status->no_new_privs);
}

void CheckStat(std::string_view text) {
  const auto stat = ParseProcStat(text);
  if (!stat.ok()) return RequireTold(stat.status(), StatusCode::kInternal);
  RequireIn(text, stat->start_time);
  RequireIn(text, stat->parent);
  RequireIn(text, std::abs(int64_t{static_cast<int32_t>(stat->tty)}));  // the kernel writes it with a sign
  const std::string tty = TtyName(stat->tty);
  Require(!tty.empty() && (tty == "none") == (stat->tty == 0));
}

void CheckOwn(std::string_view path, std::string_view agent) {
  const auto own = OwnCgroup(path, agent);
  if (!own) return;
  Require(!own->empty() && path.starts_with(*own) && (own->size() == path.size() || path[own->size()] == '/'));
  Require(!agent.starts_with(*own) || (agent.size() > own->size() && agent[own->size()] != '/'));
}

void CheckCgroups(std::string_view text) {
  const auto cgroups = ParseCgroups(text);
  if (!cgroups.ok()) return RequireTold(cgroups.status(), StatusCode::kInternal);
  std::string written;
  size_t v2 = 0;
  for (size_t i = 0; i < cgroups->size(); ++i) {
    const CgroupMembership& one = (*cgroups)[i];
    Require(one.path.starts_with('/') && text.find(one.path) != std::string_view::npos);
    Require(one.path.find('\n') == std::string::npos);
    v2 += one.v2() ? 1 : 0;
    CheckOwn(one.path, (*cgroups)[0].path);
    CheckOwn(one.path, std::string_view(one.path).substr(0, one.path.rfind('/')));
    written += fmt::format("{}:{}:{}\n", one.v2() ? 0 : i + 1, fmt::join(one.controllers, ","), one.path);
  }
  Require(v2 <= 1 && v2 == CountLines(text, "0::"));
  const auto again = ParseCgroups(written);
  Require(again.ok() && *again == *cgroups);
}

// As the kernel writes a field of mountinfo.
std::string Mangle(std::string_view text) {
  std::string mangled;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\' || c == '#') {
      mangled += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    } else {
      mangled += c;
    }
  }
  return mangled;
}

void CheckMounts(std::string_view text) {
  const auto mounts = ParseMountInfo(text);
  if (!mounts.ok()) return RequireTold(mounts.status(), StatusCode::kInternal);
  std::string written;
  for (const Mount& mount : *mounts) {
    RequireIn(text, mount.id);
    Require(!mount.root.empty() && !mount.mount_point.empty() && !mount.fs_type.empty());
    Require(text.find(mount.super_options) != std::string_view::npos);
    Require(!HasMountOption(mount.super_options, "a,b"));
    written += fmt::format("{} 1 0:1 {} {} rw - {} source {}\n", mount.id, Mangle(mount.root),
                           Mangle(mount.mount_point), Mangle(mount.fs_type), mount.super_options);
  }
  const auto again = ParseMountInfo(written);
  Require(again.ok() && again->size() == mounts->size());
  for (size_t i = 0; i < mounts->size(); ++i) {
    const Mount &a = (*mounts)[i], &b = (*again)[i];
    Require(a.id == b.id && a.root == b.root && a.mount_point == b.mount_point && a.fs_type == b.fs_type);
    Require(a.super_options == b.super_options);
  }
}

void CheckNumbers(std::string_view text) {
  if (const auto inode = ParseNamespaceLink("mnt", text); inode.ok()) {
    RequireIn(text, *inode);
    Require(text.starts_with("mnt:[") && !ParseNamespaceLink("pid", text).ok());
  } else {
    RequireTold(inode.status(), StatusCode::kInternal);
  }
  if (const auto uid = ParseLoginUid(text); uid.ok()) {
    RequireIn(text, *uid);
  } else {
    RequireTold(uid.status(), StatusCode::kInternal);
  }
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const std::string_view text = AsText(data, size);
  CheckStatus(text);
  CheckStat(text);
  CheckCgroups(text);
  CheckMounts(text);
  CheckNumbers(text);
  return 0;
}
