// Selectors of type "docker": what the container engine says about the container that the caller runs in.
//
// The same as SPIRE's: label, env, image_id, image_config_digest. Which container that is the kernel says
// (container_finder.h), and where podman's name stands in the cgroup that named it, podman's system service is asked
// and not Docker. A user's own podman is not believed: it is the attested user's. A caller in no container, or in one
// that the engine does not know (Kubernetes'), has none of these selectors.
//
// Lifetime: `tools` and `clock` outlive the attestor. Thread: loop.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "attestors/attestor.h"
#include "attestors/host_tools.h"
#include "node_agent/base/clock.h"

namespace lanyard {

struct DockerOptions {
  std::string socket = "/var/run/docker.sock";
  std::string podman_socket = "/run/podman/podman.sock";
  std::chrono::milliseconds timeout = std::chrono::seconds(2);  // of one attestation

  bool operator==(const DockerOptions&) const = default;
};

// Whether it can work on this machine: FailedPrecondition, saying what to install. Thread: any.
Status CheckDockerAttestor();

std::unique_ptr<Attestor> MakeDockerAttestor(const DockerOptions& options, HostTools& tools, Clock& clock);

}  // namespace lanyard
