// Says what we make of /proc/PID/cgroup and /proc/PID/mountinfo alone: which pod and which container they name. Whether
// a name counts is not asked here.
//
//   container_names DIR…   directories that each hold proc/1/cgroup, proc/1/mountinfo, or neither
//
// Prints one JSON object a line, in the order of the arguments.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "attestors/container_locator.h"
#include "node_agent/base/file.h"
#include "node_agent/base/procfs.h"

namespace lanyard {
namespace {

constexpr size_t kMost = size_t{1} << 20;

Result<ContainerName> Located(const std::string& proc) {
  ContainerName name;
  if (const auto text = ReadFile(proc + "/cgroup", kMost); text.ok()) {
    ASSIGN_OR_RETURN(const auto cgroups, ParseCgroups(*text));
    for (const CgroupMembership& cgroup : cgroups)
      RETURN_IF_ERROR(MergeContainerName(name, LocateContainer(cgroup.path)));
  }
  const auto text = ReadFile(proc + "/mountinfo", kMost);
  if (name.found() || !text.ok()) return name;
  ASSIGN_OR_RETURN(const auto mounts, ParseMountInfo(*text));
  for (const Mount& mount : mounts) {
    if (mount.fs_type == "cgroup" || mount.fs_type == "cgroup2")
      RETURN_IF_ERROR(MergeContainerName(name, LocateContainer(mount.root)));
  }
  return name;
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  using namespace lanyard;
  for (int i = 1; i < argc; ++i) {
    const Result<ContainerName> name = Located(std::string(argv[i]) + "/proc/1");
    const nlohmann::json said = {{"pod", name.ok() ? name->pod_uid : ""},
                                 {"container", name.ok() ? name->container_id : ""},
                                 {"error", name.ok() ? "" : std::string(Message(name.status()))}};
    std::puts(said.dump().c_str());
  }
  return 0;
}
