// The section `attestors` of the configuration: how callers are recognized.
//
// Thread: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attestors/containerd_attestor.h"
#include "attestors/docker_attestor.h"
#include "attestors/kubernetes_attestor.h"
#include "attestors/systemd_attestor.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

struct AttestorsConfig {
  bool unix_executable = true;            // unix:path and unix:sha256; needs the right to read /proc/PID/exe of others
  std::optional<SystemdOptions> systemd;  // off where there is none
  std::optional<DockerOptions> docker;    // as systemd
  std::optional<ContainerdOptions> containerd;  // as systemd
  std::optional<KubernetesOptions> kubernetes;  // as systemd
};

// Adds errors with their positions; what has none is read all the same.
AttestorsConfig ReadAttestors(const YamlNode& node, YamlErrors& errors);

// One line for each reason why an attestor may believe somebody that it should not.
std::vector<std::string> AttestorWarnings(const AttestorsConfig& attestors);

}  // namespace lanyard
