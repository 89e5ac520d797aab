// The agent's configuration, lanyard.yaml, read once into values that need no further checks.
//
// Everything has a default but trust_domain. A key that nobody knows is an error with a suggestion, a key that is
// planned but not built is the error "not supported yet", and reading goes on after an error, so that one run reports
// all of them with file, line and column. What two settings must agree on (the admin socket lies outside the directory
// that workloads mount, an SVID is short-lived against its authority) is checked here too; whether files can be opened
// is left to those who open them.
//
// Thread: any. Loading blocks on the disk: start-up, SIGHUP in the pool, and the command line only.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/app/config_attestors.h"
#include "node_agent/app/config_endpoints.h"
#include "node_agent/app/config_federation.h"
#include "node_agent/audit/audit_log.h"
#include "node_agent/base/log.h"
#include "node_agent/base/status.h"
#include "node_agent/base/yaml.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/jwt_svid_cache.h"
#include "node_agent/identity/svid_cache.h"
#include "node_agent/registry/entry.h"
#include "node_agent/rpc/caller_limits.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"
#include "workload_api/identity_limits.h"

namespace lanyard {

struct WorkloadSocketConfig {
  std::string path = "/run/lanyard/workload.sock";
  mode_t mode = 0777;

  bool operator==(const WorkloadSocketConfig&) const = default;
};

struct AdminSocketConfig {
  std::string path = "/run/lanyard-admin/admin.sock";
  mode_t mode = 0600;  // 0660 when `group` is set and no mode is given
  std::string group;   // empty: only root and the agent's own user; a name that exists on this machine
  bool other_pid_namespaces = false;

  mode_t directory_mode() const { return group.empty() ? 0700 : 0750; }
  bool operator==(const AdminSocketConfig&) const = default;
};

// The agent's own roots under data_dir, or (`given`) an intermediate that somebody else issued.
struct EmbeddedCaConfig {
  KeyType key_type = KeyType::kEcP256;
  std::chrono::seconds ca_ttl = std::chrono::hours(720);
  std::optional<GivenIssuer> given;

  bool operator==(const EmbeddedCaConfig&) const = default;
};

struct SvidConfig {
  std::chrono::seconds x509_ttl = std::chrono::hours(1);
  std::chrono::seconds jwt_ttl = std::chrono::minutes(5);
  KeyType key_type = KeyType::kEcP256;
};

struct OidcConfig {
  std::string issuer;  // an https URL, which JWT-SVIDs name; empty: they name none
};

struct LimitsConfig {
  CallerLimits per_caller;
  IdentityLimitSettings per_identity;
  std::chrono::milliseconds attestation_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds reattestation_interval = std::chrono::minutes(1);
};

struct AuditConfig {
  std::string path = "/var/lib/lanyard/audit/audit.jsonl";  // audit/audit.jsonl in data_dir where none is given
  std::string checkpoints_to;                               // a file, "syslog", or empty
  std::chrono::seconds checkpoint_interval{60};
  SyncPolicy sync = SyncPolicy::kIssues;
  uint64_t rotate_bytes = 64 << 20;
  unsigned keep_files = 32;
};

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

struct Config {
  explicit Config(TrustDomain name) : trust_domain(std::move(name)) {}

  TrustDomain trust_domain;
  Environment environment = Environment::kDevelopment;
  std::string data_dir = "/var/lib/lanyard";
  WorkloadSocketConfig workload_socket;
  AdminSocketConfig admin_socket;
  EmbeddedCaConfig embedded_ca;
  SvidConfig svid;
  OidcConfig oidc;
  AttestorsConfig attestors;
  std::vector<std::string> registry_paths = {"/etc/lanyard/registry.d"};
  AuditConfig audit;
  EndpointsConfig endpoints;
  FederationConfig federation;
  LimitsConfig limits;
  LogConfig log;
};

inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;

// The configuration in the file at `path`. An error of the text is InvalidArgument with one "file:line:column: text" a
// line, all of them, in the order of the file.
Result<Config> LoadConfig(const std::string& path);

// The same for text in hand; `file` is for messages. Looks at the machine only to follow symbolic links of directories
// that exist, and for the admin socket's group and directory.
Result<Config> ParseConfig(std::string_view text, std::string_view file, const YamlVariables& variables);

// What the identity room and the audit room want to know.
CaOptions CaOptionsOf(const Config& config);
AuditOptions AuditOptionsOf(const Config& config);
SvidCacheOptions SvidOptionsOf(const Config& config);
JwtSvidCacheOptions JwtOptionsOf(const Config& config);

// The lines of a Status's message.
std::vector<std::string> ErrorLines(const Status& status);

}  // namespace lanyard
