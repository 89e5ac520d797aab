// containerd:label, containerd:env, containerd:image_id and containerd:image_config_digest: what containerd or CRI-O
// says, over the CRI, of the container that the kernel says the caller is in.
//
// The runtime is asked only for callers in a container (container_finder.h). That it does not know the container is an
// answer, without selectors: the CRI does not show what was made in another way (`ctr run`, Docker). Everything else is
// an error, and so is a container into which the runtime's socket is mounted (engine_mounts.h). Answers are kept for
// five seconds; the environment is asked for only when it is wanted.
//
// Thread: loop.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "attestors/attestor.h"
#include "attestors/host_tools.h"
#include "node_agent/base/clock.h"

namespace lanyard {

struct ContainerdOptions {
  std::string socket = "/run/containerd/containerd.sock";       // CRI-O's is /run/crio/crio.sock
  std::chrono::milliseconds timeout = std::chrono::seconds(2);  // of one attestation

  bool operator==(const ContainerdOptions&) const = default;
};

// `tools` and `clock` outlive it.
std::unique_ptr<Attestor> MakeContainerdAttestor(const ContainerdOptions& options, HostTools& tools, Clock& clock);

}  // namespace lanyard
