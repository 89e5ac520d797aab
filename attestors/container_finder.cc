#include "attestors/container_finder.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestors/cgroup_trust.h"
#include "attestors/mount_owner.h"
#include "node_agent/base/cgroups.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr size_t kMaxMountInfo = size_t{1024} * 1024;  // containers have dozens of mounts, nodes thousands

// Does what `cgroup` is called count?
Result<bool> Counts(const CgroupMembership& cgroup, const ContainerName& name, const ProcStatus& caller,
                    const MountTable& mounts) {
  // Outside the cgroup namespace there is no directory to look at. Nobody but root moves root's processes.
  if (OutsideCgroupNamespace(cgroup) && caller.uid.effective == 0) return true;
  ASSIGN_OR_RETURN(const CgroupTrust trust, CheckCgroupTrust(cgroup, caller, mounts));
  if (trust == CgroupTrust::kCallerCouldWriteIt) return false;
  return NamedByRoot(cgroup, std::string_view(cgroup.path).substr(0, name.name_end), mounts);
}

// What runs in a container is that container's own affair, names and all, but where the node agent runs in it as well
// (Kubernetes in Docker): then it is what the node is to others.
Status CheckNamedOutside(const CgroupMembership& cgroup, const ContainerName& name, const MountTable& mounts) {
  if (name.outer_end == 0) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<CgroupMembership> own, ReadCgroups(kOwnCgroups));
  for (const CgroupMembership& told : own) {
    if (told.controllers != cgroup.controllers) continue;
    const std::string_view outer = std::string_view(cgroup.path).substr(0, name.outer_end);
    if (IsCgroupWithin(mounts.cgroup_tree.FromRoot(told).path, outer)) return OkStatus();
  }
  return Error(StatusCode::kFailedPrecondition,
               "cgroup {} lies within that of another container, which may have named it", cgroup.path);
}

// What several hierarchies say together.
class Verdict {
 public:
  void Add(const CgroupMembership& told, const ProcStatus& caller, const MountTable& mounts) {
    if (!failed_.ok()) return;
    const CgroupMembership cgroup = mounts.cgroup_tree.FromRoot(told);
    ContainerName name = LocateContainer(cgroup.path);
    if (!name.found()) return;
    named_ = true;
    if (IsSame(name)) return;  // as most of a dozen hierarchies say: nothing new, so nothing to look at
    const Result<bool> counts = Counts(cgroup, name, caller, mounts);
    if (!counts.ok()) {
      undecided_.emplace_back(std::move(name), counts.status());
    } else if (*counts) {
      failed_ = CheckNamedOutside(cgroup, name, mounts);
      if (failed_.ok()) failed_ = MergeContainerName(found_, std::move(name));
    }
  }

  // Some hierarchy named a container, whether that counts or not.
  bool named() const { return named_; }

  Result<ContainerName> Take() && {
    if (!failed_.ok()) return failed_;
    for (const auto& [name, why] : undecided_) {
      if (IsSame(name)) continue;
      return Annotate(why, "tell whether the name of container {} counts", name.container_id);
    }
    return std::move(found_);
  }

 private:
  bool IsSame(const ContainerName& name) const {
    return found_.found() && found_.container_id == name.container_id && found_.pod_uid == name.pod_uid;
  }

  ContainerName found_;
  std::vector<std::pair<ContainerName, Status>> undecided_;
  Status failed_;
  bool named_ = false;
};

Result<std::vector<Mount>> ReadMounts(const ProcDir& process) {
  ASSIGN_OR_RETURN(const UniqueFd file, process.OpenFile("mountinfo"));
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFd(file.get(), kMaxMountInfo, fmt::format("/proc/{}/mountinfo", process.pid())));
  return ParseMountInfo(text);
}

// The hierarchy of a mount of cgroupfs, as if the process was in the directory that is its root.
std::optional<CgroupMembership> MountedCgroup(const Mount& mount) {
  if (mount.root == "/") return std::nullopt;
  if (mount.fs_type == "cgroup2") return CgroupMembership{.controllers = {}, .path = mount.root};
  if (mount.fs_type != "cgroup") return std::nullopt;
  CgroupMembership cgroup{.controllers = {}, .path = mount.root};
  std::string_view options = mount.super_options;
  while (!options.empty()) {  // "rw,xattr,name=systemd", "rw,cpu,cpuacct"
    const size_t comma = std::min(options.find(','), options.size());
    const std::string_view option = options.substr(0, comma);
    if (option != "rw" && option != "ro" && option != "xattr") cgroup.controllers.emplace_back(option);
    options.remove_prefix(std::min(comma + 1, options.size()));
  }
  if (cgroup.controllers.empty()) return std::nullopt;
  return cgroup;
}

Result<ContainerName> FindInMounts(const Subject& subject, const MountTable& mounts) {
  const ProcDir& process = *subject.proc();
  ASSIGN_OR_RETURN(const std::string link, process.ReadLink("ns/mnt"));
  ASSIGN_OR_RETURN(const uint64_t mount_namespace, ParseNamespaceLink("mnt", link));
  std::vector<Mount> read;
  if (mount_namespace != mounts.own_mount_namespace) {
    ASSIGN_OR_RETURN(read, ReadMounts(process));
    ASSIGN_OR_RETURN(const bool only_root, OnlyRootMounts(process, mounts));
    if (!only_root) return ContainerName();
  }
  Verdict verdict;
  for (const Mount& mount : mount_namespace == mounts.own_mount_namespace ? mounts.cgroups : read) {
    if (const auto cgroup = MountedCgroup(mount)) verdict.Add(*cgroup, subject.status(), mounts);
  }
  return std::move(verdict).Take();
}

Result<ContainerName> Find(const Subject& subject, OwnMounts& own_mounts) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const MountTable> mounts, own_mounts.Current());
  if (!subject.cgroups().ok()) return subject.cgroups().status();
  Verdict verdict;
  for (const CgroupMembership& cgroup : *subject.cgroups()) verdict.Add(cgroup, subject.status(), *mounts);
  if (verdict.named() || mounts->cgroup_tree.sees_all()) return std::move(verdict).Take();
  return FindInMounts(subject, *mounts);
}

}  // namespace

const Result<ContainerName>& FindContainer(const Subject& subject, OwnMounts& mounts) {
  std::optional<Result<ContainerName>>& container = subject.container();
  if (!container) container = Find(subject, mounts);
  return *container;
}

}  // namespace lanyard
