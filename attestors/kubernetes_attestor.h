// Selectors of type "k8s": what the kubelet says about the pod and the container that the caller runs in.
//
// The same as SPIRE's, without those of sigstore: ns, sa, node-name, pod-uid, pod-name, pod-label, pod-owner,
// pod-owner-uid, pod-image, pod-image-count, pod-init-image, pod-init-image-count, container-name, container-image, and
// ns-label. Which container that is the kernel says (container_finder.h), and which pod it belongs to the kubelet
// (kubelet.h); where the cgroup names the pod too, both must say the same. The labels of its namespace the API server
// says (api_server.h), where it is configured; when it does not answer, these alone are a gap. Init and ephemeral
// containers, and those of static pods, are containers like any other. A caller in no container, or in one that is no
// pod's, has none of these selectors.
//
// Lifetime: `tools` and `clock` outlive the attestor. Thread: loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "attestors/attestor.h"
#include "attestors/host_tools.h"
#include "node_agent/base/clock.h"

namespace lanyard {

struct KubernetesOptions {
  std::string node_name;              // of the node we run on; empty: its kubelet may be any node's
  std::string address = "127.0.0.1";  // of the kubelet: an IP address or a host name
  uint16_t port = 10250;
  std::optional<uint16_t> read_only_port;  // asked instead, in plain HTTP and without credentials
  std::string ca_path = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  bool skip_verification = false;
  // Who asks: whom the certificate is for where there is one, else the token's; or nobody.
  std::string token_path = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  std::string cert_path;
  std::string key_path;
  bool anonymous = false;
  // The API server, for ns-label: an IP address or host name that its certificate is for; empty: it is not asked.
  std::string api_address;
  uint16_t api_port = 443;
  std::string api_ca_path = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  std::string api_token_path = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  std::chrono::milliseconds refresh = std::chrono::seconds(5);   // how long what the kubelet said is used
  std::chrono::milliseconds timeout = std::chrono::seconds(30);  // of one attestation: until a new container is listed

  bool operator==(const KubernetesOptions&) const = default;
};

// Whether such a kubelet, or such an API server, could be asked: InvalidArgument, naming the setting. Thread: any.
Status CheckKubeletPeer(const KubernetesOptions& options);
Status CheckApiServerPeer(const KubernetesOptions& options);

// Whether it can work on this machine: FailedPrecondition, saying what to install. Thread: any.
Status CheckKubernetesAttestor();

std::unique_ptr<Attestor> MakeKubernetesAttestor(const KubernetesOptions& options, HostTools& tools, Clock& clock);

}  // namespace lanyard
