#include "node_agent/app/config_attestors.h"

#include "node_agent/app/config_checks.h"
#include "node_agent/app/config_values.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;

Result<milliseconds> ReadServiceTimeout(const YamlNode& timeout) {
  return ReadDuration<milliseconds>(timeout, milliseconds(10), std::chrono::minutes(1));
}

Result<bool> ReadFlag(const YamlNode& flag) {
  return flag.AsBool();
}

Result<std::string> ReadText(const YamlNode& text) {
  return text.AsString();
}

Result<uint16_t> ReadPort(const YamlNode& node) {
  ASSIGN_OR_RETURN(const unsigned port, (ReadCount<1, 65535>(node)));
  return static_cast<uint16_t>(port);
}

SystemdOptions ReadSystemd(const YamlNode& node, YamlErrors& errors) {
  SystemdOptions systemd;
  errors.Add(node.RequireKnownKeys({"bus_socket", "timeout"}));
  SetValue(node, "bus_socket", systemd.bus_socket, errors, CheckSocketPath);
  SetValue(node, "timeout", systemd.timeout, errors, ReadServiceTimeout);
  return systemd;
}

DockerOptions ReadDocker(const YamlNode& node, YamlErrors& errors) {
  DockerOptions docker;
  errors.Add(node.RequireKnownKeys({"socket", "podman_socket", "timeout"}));
  SetValue(node, "socket", docker.socket, errors, CheckSocketPath);
  SetValue(node, "podman_socket", docker.podman_socket, errors, CheckSocketPath);
  SetValue(node, "timeout", docker.timeout, errors, ReadServiceTimeout);
  return docker;
}

ContainerdOptions ReadContainerd(const YamlNode& node, YamlErrors& errors) {
  ContainerdOptions containerd;
  errors.Add(node.RequireKnownKeys({"socket", "timeout"}));
  SetValue(node, "socket", containerd.socket, errors, CheckSocketPath);
  SetValue(node, "timeout", containerd.timeout, errors, ReadServiceTimeout);
  return containerd;
}

void ReadKubelet(const YamlNode& node, KubernetesOptions& kubernetes, YamlErrors& errors) {
  errors.Add(node.RequireKnownKeys({"address", "port", "read_only_port", "ca_path", "skip_verification", "token_path",
                                    "cert_path", "key_path", "anonymous"}));
  SetValue(node, "address", kubernetes.address, errors, ReadText);
  SetValue(node, "port", kubernetes.port, errors, ReadPort);
  SetValue(node, "read_only_port", kubernetes.read_only_port, errors, ReadPort);
  SetValue(node, "ca_path", kubernetes.ca_path, errors, CheckAbsolutePath);
  SetValue(node, "skip_verification", kubernetes.skip_verification, errors, ReadFlag);
  SetValue(node, "token_path", kubernetes.token_path, errors, CheckAbsolutePath);
  SetValue(node, "cert_path", kubernetes.cert_path, errors, CheckAbsolutePath);
  SetValue(node, "key_path", kubernetes.key_path, errors, CheckAbsolutePath);
  SetValue(node, "anonymous", kubernetes.anonymous, errors, ReadFlag);
  if ((node.Find("cert_path") == nullptr) != (node.Find("key_path") == nullptr))
    errors.Add(node.Fail("cert_path and key_path belong together: name both, or neither"));
  if (kubernetes.anonymous && (node.Find("cert_path") != nullptr || node.Find("token_path") != nullptr))
    errors.Add(node.Fail("anonymous asks without credentials: take it away, or token_path, cert_path and key_path"));
}

void ReadApiServer(const YamlNode& node, KubernetesOptions& kubernetes, YamlErrors& errors) {
  errors.Add(node.RequireKnownKeys({"address", "port", "ca_path", "token_path"}));
  SetValue(node, "address", kubernetes.api_address, errors, ReadText);
  SetValue(node, "port", kubernetes.api_port, errors, ReadPort);
  SetValue(node, "ca_path", kubernetes.api_ca_path, errors, CheckAbsolutePath);
  SetValue(node, "token_path", kubernetes.api_token_path, errors, CheckAbsolutePath);
  errors.Add(node.At(CheckApiServerPeer(kubernetes)));
}

KubernetesOptions ReadKubernetes(const YamlNode& node, YamlErrors& errors) {
  KubernetesOptions kubernetes;
  errors.Add(node.RequireKnownKeys({"node_name", "kubelet", "api_server", "refresh", "timeout"}));
  SetValue(node, "node_name", kubernetes.node_name, errors, ReadText);
  if (const YamlNode* kubelet = node.Find("kubelet")) ReadKubelet(*kubelet, kubernetes, errors);
  if (const YamlNode* api_server = node.Find("api_server")) ReadApiServer(*api_server, kubernetes, errors);
  SetValue(node, "refresh", kubernetes.refresh, errors, [](const YamlNode& refresh) {
    return ReadDuration<milliseconds>(refresh, milliseconds(200), std::chrono::minutes(1));
  });
  SetValue(node, "timeout", kubernetes.timeout, errors, ReadServiceTimeout);
  if (kubernetes.cert_path.empty() != kubernetes.key_path.empty()) return kubernetes;  // said already
  const YamlNode* kubelet = node.Find("kubelet");
  errors.Add((kubelet != nullptr ? *kubelet : node).At(CheckKubeletPeer(kubernetes)));
  return kubernetes;
}

}  // namespace

AttestorsConfig ReadAttestors(const YamlNode& node, YamlErrors& errors) {
  AttestorsConfig attestors;
  errors.Add(node.RequireKnownKeys({"unix", "process", "systemd", "docker", "containerd", "kubernetes"}, {"plugins"}));
  if (const YamlNode* unix_attestor = node.Find("unix")) {
    errors.Add(unix_attestor->RequireKnownKeys({"executable"}));
    SetValue(*unix_attestor, "executable", attestors.unix_executable, errors, ReadFlag);
  }
  if (const YamlNode* process = node.Find("process")) errors.Add(process->RequireKnownKeys({}));
  if (const YamlNode* systemd = node.Find("systemd")) attestors.systemd = ReadSystemd(*systemd, errors);
  if (const YamlNode* docker = node.Find("docker")) attestors.docker = ReadDocker(*docker, errors);
  if (const YamlNode* containerd = node.Find("containerd")) attestors.containerd = ReadContainerd(*containerd, errors);
  if (const YamlNode* kubernetes = node.Find("kubernetes")) attestors.kubernetes = ReadKubernetes(*kubernetes, errors);
  return attestors;
}

std::vector<std::string> AttestorWarnings(const AttestorsConfig& attestors) {
  std::vector<std::string> lines;
  if (!attestors.kubernetes) return lines;
  const KubernetesOptions& kubernetes = *attestors.kubernetes;
  if (kubernetes.read_only_port) {
    lines.push_back(
        fmt::format("attestors.kubernetes.kubelet.read_only_port: whoever answers at {} port {} is believed",
                    kubernetes.address, *kubernetes.read_only_port));
  } else if (kubernetes.skip_verification) {
    lines.push_back(fmt::format(
        "attestors.kubernetes.kubelet.skip_verification: whoever answers at {} port {} is believed, and gets "
        "the token",
        kubernetes.address, kubernetes.port));
  }
  if (kubernetes.node_name.empty())
    lines.push_back(
        "attestors.kubernetes.node_name is not set: the kubelet of another node would be believed; set it to the name "
        "of "
        "this one");
  return lines;
}

}  // namespace lanyard
