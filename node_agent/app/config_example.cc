#include "node_agent/app/config_example.h"

#include <fmt/format.h>

#include "node_agent/app/config.h"
#include "node_agent/base/duration.h"

namespace lanyard {
namespace {

constexpr std::string_view kText = R"(# Lanyard's configuration: every key that there is, with its default.
# Unknown keys are errors. Durations are written like 90s, 15m or 24h. ${{VAR}} in a value is replaced by the variable of the
# environment, $${{ stands for the characters themselves. `lanyard config check FILE` names every mistake with its line.

# The trust domain of all identities issued here. The only key without a default.
trust_domain: example.org

# development, staging or production: shown in health and in every audit record.
environment: {environment}

# What has to survive a restart: the certificate authority, the state, the audit key. Mode 0700; one agent at a time.
data_dir: {data_dir}

# Where workloads connect. Everybody may: who they are is found out from the kernel. Containers may mount this directory, so nothing
# else may lie in it.
workload_socket:
  path: {workload_path}
  mode: "{workload_mode:04o}"

# Where operators connect, in a directory of its own with mode 0700 (0750 with a group). Whoever connects must also be root, the
# agent's own user or a member of the group, and must be in the agent's own user namespace.
admin_socket:
  path: {admin_path}
  # 0660 when a group is set
  mode: "{admin_mode:04o}"
  group: "{admin_group}"
  # Let operators in who are in another pid namespace than the agent, such as a container's host.
  other_pid_namespaces: {admin_namespaces}

# Who signs. The embedded authority makes roots of its own and replaces them in time. In place of key_type and ca_ttl an intermediate
# that somebody else issued can be given, as PEM files: issuer_cert (and its issuers in turn), issuer_key, upstream_roots;
# jwt_authority_key, which signs tokens (without it no JWT-SVIDs and WIT-SVIDs are issued); and issuer_root_crl, the revocation lists
# of the authorities above it, for verifiers that check every certificate of a chain.
identity_source:
  embedded_ca:
    # ec-p256, ec-p384, rsa-2048 or rsa-4096
    key_type: {ca_key_type}
    # How long a root is valid: at least six times svid.x509_ttl.
    ca_ttl: {ca_ttl}

# What workloads get, unless their entry asks for less.
svid:
  # Of X.509-SVIDs, and of WIT-SVIDs, which come with a key as well
  x509_ttl: {x509_ttl}
  jwt_ttl: {jwt_ttl}
  # as for embedded_ca
  key_type: {svid_key_type}

# What JWT-SVIDs say as their issuer, an https URL; without it they name none. Verifiers that know OpenID Connect, but not SPIFFE, fetch
# /.well-known/openid-configuration below it and the keys that it points to: endpoints.bundle serves both.
oidc:
  issuer: "{oidc_issuer}"

# How callers are recognized. unix and process are always on, the others when they are named.
attestors:
  unix:
    # Also find out unix:path and unix:sha256 of the caller's executable.
    executable: {unix_executable}
  process: {{}}
  # The unit of a process, as systemd says over D-Bus. The node agent must be in the pid namespace of systemd.
  #   systemd: {{bus_socket: {bus_socket}, timeout: {systemd_timeout}}}
  # What Docker and podman's system service say about the caller's container. On with these defaults where it is `docker: {{}}`:
  #   docker: {{socket: {docker_socket}, podman_socket: {podman_socket}, timeout: {docker_timeout}}}
  # What containerd or CRI-O says about it, over the CRI (containerd's cri plugin). The same way:
  #   containerd: {{socket: {containerd_socket}, timeout: {containerd_timeout}}}
  # What the kubelet of this node says about the caller's pod. The same way; ${{NODE_NAME}} and ${{HOST_IP}} come from the downward API:
  #   kubernetes:
  #     node_name: ${{NODE_NAME}}        # the kubelet's certificate is for it, and so are all pods that it lists
  #     kubelet: {{address: {kubelet_address}, port: {kubelet_port}, ca_path: {kubelet_ca}, skip_verification: false,
  #       token_path: {kubelet_token}}}  # or cert_path and key_path, or anonymous: true, or read_only_port
  #     api_server:                       # only for k8s:ns-label
  #       address: ${{KUBERNETES_SERVICE_HOST}}
  #       port: ${{KUBERNETES_SERVICE_PORT}}
  #       ca_path: {kubelet_ca}
  #       token_path: {kubelet_token}
  #     refresh: {kubernetes_refresh}               # how long an answer of either is used
  #     timeout: {kubernetes_timeout}              # how long a container that has just started is waited for

# Who may be whom: YAML files, or directories of *.yaml files.
registry:
  paths:
{registry_paths}
# Where serials that were issued are kept: SQLite, state.db in data_dir.
state:
  sqlite: {{}}

# The record of everything that was decided, one JSON object a line, chained by hash. `lanyard audit verify` checks it.
audit:
  # In data_dir, where that is set and this is not.
  path: {audit_path}
  # A copy of the signed checkpoints somewhere else, so that a record made anew is found out: a file, or syslog.
  checkpoints_to: "{audit_checkpoints}"
  # How often a checkpoint is signed when there is anything new.
  checkpoint_interval: {audit_interval}
  # What a power cut may lose (a kill loses nothing): issue: at most the last second of who fetched what had been issued before.
  # batch: nothing that was answered. second: at most the last second of records.
  sync: {audit_sync}
  # The file is renamed at this size and another begun; so many of the renamed ones are kept (0: all), what is removed is on record.
  rotate_at: {audit_rotate}MiB
  keep_files: {audit_keep}

# HTTP, for those who watch the agent. An empty address turns one off; both may be the same.
endpoints:
  # GET /metrics, in Prometheus' text format
  metrics: {metrics}
  # GET /live and /ready
  health: {health}
  # GET / over HTTPS: the SPIFFE bundle document of this trust domain, for others that federate with it; and what oidc.issuer says
  bundle:
    address: ""
    # PEM files of a certificate that those others trust; without them an X.509-SVID of the agent's own,
    # spiffe://example.org/lanyard/bundle-endpoint
    cert: ""
    key: ""

# Other trust domains, whose members those entries are to believe that name them in federates_with.
federation:
  # By name, each with bundle_path: a file with its SPIFFE bundle document (a JWK Set), read again when it changes. For example
  #   partner.example: {{bundle_path: /etc/lanyard/partner.json}}
  trust_domains: {{}}

limits:
  # For each caller before it is known who it is: for each cgroup (systemd unit, container, all sessions of one user), or for each user
  # where a process is in no cgroup of its own. What is above a limit is Unavailable, or its connection is closed.
  per_caller:
    # open at once
    connections: {caller_connections}
    # after as many at once as may be open
    connections_per_second: {caller_connection_rate}
    # after as many at once as streams may be open
    calls_per_second: {caller_call_rate}
    # calls that have no answer yet
    calls_in_flight: {caller_in_flight}
    # calls that are not over, those without an answer included
    streams: {caller_streams}
  # The same for each SPIFFE ID, over all processes that have it.
  per_identity:
    # after as many at once as streams may be open
    calls_per_second: {identity_call_rate}
    # calls that are not over
    streams: {identity_streams}
  # How long finding out who a caller is may take. What is not known by then is not known, and nothing that depends on it is issued.
  attestation_timeout: {attestation_timeout}
  # How often the caller of an open stream is looked at again, give or take a quarter; also whenever its SVID is renewed, and at once when
  # the registry may decide otherwise.
  reattestation_interval: {reattestation_interval}

log:
  # debug, info, warn or error
  level: {log_level}
  # text or json
  format: {log_format}
)";

std::string List(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += fmt::format("    - {}\n", item);
  return text;
}

}  // namespace

std::string ConfigExample() {
  const Result<TrustDomain> name = TrustDomain::Parse("example.org");
  if (!name.ok()) return {};  // a name that is valid by the tests
  const Config config(*name);
  return fmt::format(
      kText, fmt::arg("environment", EnvironmentName(config.environment)), fmt::arg("data_dir", config.data_dir),
      fmt::arg("workload_path", config.workload_socket.path), fmt::arg("workload_mode", config.workload_socket.mode),
      fmt::arg("admin_path", config.admin_socket.path), fmt::arg("admin_mode", config.admin_socket.mode),
      fmt::arg("admin_group", config.admin_socket.group),
      fmt::arg("admin_namespaces", config.admin_socket.other_pid_namespaces),
      fmt::arg("ca_key_type", KeyTypeName(config.embedded_ca.key_type)),
      fmt::arg("ca_ttl", FormatDuration(config.embedded_ca.ca_ttl)),
      fmt::arg("x509_ttl", FormatDuration(config.svid.x509_ttl)),
      fmt::arg("jwt_ttl", FormatDuration(config.svid.jwt_ttl)), fmt::arg("oidc_issuer", config.oidc.issuer),
      fmt::arg("svid_key_type", KeyTypeName(config.svid.key_type)),
      fmt::arg("unix_executable", config.attestors.unix_executable),
      fmt::arg("bus_socket", SystemdOptions().bus_socket),
      fmt::arg("systemd_timeout", FormatDuration(SystemdOptions().timeout)),
      fmt::arg("docker_socket", DockerOptions().socket), fmt::arg("podman_socket", DockerOptions().podman_socket),
      fmt::arg("docker_timeout", FormatDuration(DockerOptions().timeout)),
      fmt::arg("containerd_socket", ContainerdOptions().socket),
      fmt::arg("containerd_timeout", FormatDuration(ContainerdOptions().timeout)),
      fmt::arg("kubelet_address", KubernetesOptions().address), fmt::arg("kubelet_port", KubernetesOptions().port),
      fmt::arg("kubelet_ca", KubernetesOptions().ca_path), fmt::arg("kubelet_token", KubernetesOptions().token_path),
      fmt::arg("kubernetes_refresh", FormatDuration(KubernetesOptions().refresh)),
      fmt::arg("kubernetes_timeout", FormatDuration(KubernetesOptions().timeout)),
      fmt::arg("registry_paths", List(config.registry_paths)), fmt::arg("audit_path", config.audit.path),
      fmt::arg("audit_checkpoints", config.audit.checkpoints_to),
      fmt::arg("audit_interval", FormatDuration(config.audit.checkpoint_interval)),
      fmt::arg("audit_sync", SyncPolicyName(config.audit.sync)),
      fmt::arg("audit_rotate", config.audit.rotate_bytes >> 20), fmt::arg("audit_keep", config.audit.keep_files),
      // NOLINTNEXTLINE(bugprone-unchecked-optional-access): both have defaults
      fmt::arg("metrics", config.endpoints.metrics->str()), fmt::arg("health", config.endpoints.health->str()),
      fmt::arg("caller_connections", config.limits.per_caller.connections),
      fmt::arg("caller_connection_rate", config.limits.per_caller.connections_per_second),
      fmt::arg("caller_call_rate", config.limits.per_caller.calls_per_second),
      fmt::arg("caller_in_flight", config.limits.per_caller.calls_in_flight),
      fmt::arg("caller_streams", config.limits.per_caller.streams),
      fmt::arg("identity_call_rate", config.limits.per_identity.calls_per_second),
      fmt::arg("identity_streams", config.limits.per_identity.streams),
      fmt::arg("reattestation_interval", FormatDuration(config.limits.reattestation_interval)),
      fmt::arg("attestation_timeout", FormatDuration(config.limits.attestation_timeout)),
      fmt::arg("log_level", LogLevelName(config.log.level)),
      fmt::arg("log_format", config.log.format == LogFormat::kText ? "text" : "json"));
}

}  // namespace lanyard
