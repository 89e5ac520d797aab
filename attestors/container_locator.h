// Which container, and which pod, a cgroup's path names: pure functions over text.
//
// Container engines name a container's cgroup after it: its id is 64 hexadecimal digits somewhere in the path, with the
// engine's own additions around it (docker-ID.scope, cri-containerd-ID.scope, kubepods/…/podUID/ID). Nested engines
// (Kubernetes in Docker) put one such path below another: the innermost is the process's own. Below it there may be
// further cgroups that the container made itself.
//
// Names say nothing of who made them: see container_finder.h for when they count.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

struct ContainerName {
  std::string container_id;  // empty: no container is named
  std::string pod_uid;       // as Kubernetes writes it, with dashes (those of static pods have none); empty: in no pod
  std::string cgroup_path;   // what named it

  // The part of `cgroup_path` up to and with the directory that bears the id.
  size_t name_end = 0;
  // The same of the nearest container above it, which may have named it; 0: there is none.
  size_t outer_end = 0;

  bool found() const { return !container_id.empty(); }
};

// What one path names. A double slash ends the search; a pod without a container is not found.
ContainerName LocateContainer(std::string_view cgroup_path);

// Makes one name of what two hierarchies say: a name with a pod goes before one without, since only the cgroups of an
// inner container have its pod in them. FailedPrecondition when they contradict each other.
Status MergeContainerName(ContainerName& so_far, ContainerName next);

}  // namespace lanyard
