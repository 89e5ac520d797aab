// The agent's configuration, lanyard.yaml, read once into values that need no further checks.
//
// Everything has a default but trust_domain. A key that nobody knows is an error with a suggestion, a key that is planned but not
// built is the error "not supported yet", and reading goes on after an error, so that one run reports all of them with file, line and
// column. What two settings must agree on (the admin socket lies outside the directory that workloads mount, an SVID is short-lived
// against its authority) is checked here too; whether files can be opened is left to those who open them.
//
// Thread: any. Loading blocks on the disk: start-up, SIGHUP in the pool, and the command line only.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "node_agent/base/log.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"

namespace lanyard {

enum class Environment { kDevelopment, kStaging, kProduction };
std::string_view EnvironmentName(Environment environment);  // "development", "staging", "production"

struct WorkloadSocketConfig {
  std::string path = "/run/lanyard/workload.sock";
  mode_t mode = 0777;
};

struct AdminSocketConfig {
  std::string path = "/run/lanyard-admin/admin.sock";
  mode_t mode = 0600;  // 0660 when `group` is set and no mode is given
  std::string group;   // empty: only root and the agent's own user; a name that exists on this machine
  bool other_pid_namespaces = false;

  mode_t directory_mode() const { return group.empty() ? 0700 : 0750; }
};

// Roots that the agent makes itself, under data_dir.
struct OwnRootConfig {
  KeyType key_type = KeyType::kEcP256;
  std::chrono::seconds ca_ttl = std::chrono::hours(720);
};

// An intermediate that somebody else gave us. Paths of PEM files.
struct GivenIssuerConfig {
  std::string issuer_cert;
  std::string issuer_key;
  std::string upstream_roots;
};

struct SvidConfig {
  std::chrono::seconds x509_ttl = std::chrono::hours(1);
  KeyType key_type = KeyType::kEcP256;
};

struct AttestorsConfig {
  bool unix_executable = true;  // unix:path and unix:sha256; needs the right to read /proc/PID/exe of others
};

struct LimitsConfig {
  unsigned connections_per_uid = 1000;
  std::chrono::milliseconds attestation_timeout = std::chrono::seconds(5);
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
  std::variant<OwnRootConfig, GivenIssuerConfig> identity_source = OwnRootConfig{};
  SvidConfig svid;
  AttestorsConfig attestors;
  std::vector<std::string> registry_paths = {"/etc/lanyard/registry.d"};
  LimitsConfig limits;
  LogConfig log;
};

// What is wrong at one place of a file. Line and column count from 1; 0 when the file as a whole is meant.
struct ConfigProblem {
  std::string file;
  int line = 0;
  int column = 0;
  std::string text;

  std::string str() const;  // "file:line:column: text"
};

struct LoadedConfig {
  std::optional<Config> config;       // nothing when there are errors
  std::vector<ConfigProblem> errors;  // in the order of the file
};

// The value of a variable of the environment, or nothing when it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;

LoadedConfig LoadConfig(const std::string& path);
// The same for text in hand; `file` is for messages. Looks at the file system only to follow symbolic links of directories that exist,
// and for the admin socket's group and directory.
LoadedConfig ParseConfig(std::string_view text, const std::string& file, const EnvironmentLookup& lookup);

}  // namespace lanyard
