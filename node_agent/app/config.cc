#include "node_agent/app/config.h"

#include <utility>

#include "node_agent/admin/admission.h"
#include "node_agent/app/config_checks.h"
#include "node_agent/app/config_limits.h"
#include "node_agent/app/config_oidc.h"
#include "node_agent/app/config_size.h"
#include "node_agent/app/config_values.h"
#include "node_agent/base/duration.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr std::chrono::seconds kShortestSvid{5};
constexpr std::chrono::seconds kLongestJwt = std::chrono::hours(24);
constexpr std::chrono::seconds kLongestCa = std::chrono::hours(24 * 366 * 20);

Result<TrustDomain> ReadTrustDomain(const YamlNode& node) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  Result<TrustDomain> parsed = TrustDomain::Parse(text);
  if (!parsed.ok()) return node.At(parsed.status());
  if (text != parsed->name() && text != parsed->id()) {
    return node.Fail("trust_domain is a name like \"{}\", without a path", parsed->name());
  }
  return parsed;
}

Result<mode_t> ReadSocketMode(const YamlNode& node) {
  ASSIGN_OR_RETURN(const mode_t mode, node.AsFileMode());
  if ((mode & ~mode_t{0777}) != 0) return node.Fail("a socket's mode has no special bits, \"{:04o}\" has", mode);
  return mode;
}

Result<KeyType> ReadKeyType(const YamlNode& node) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  Result<KeyType> type = ParseKeyType(text);
  return type.ok() ? type : node.At(type.status());
}

// Reads one section after the other; goes on after errors, which it gathers.
class ConfigReader {
 public:
  ConfigReader(Config& config, YamlErrors& errors) : config_(config), errors_(errors) {}

  // Of the values that had errors.
  std::span<const SourcePosition> unread() const { return unread_; }

  void Read(const YamlNode& root) {
    errors_.Add(root.RequireKnownKeys(
        {"trust_domain", "environment", "data_dir", "workload_socket", "admin_socket", "identity_source", "svid",
         "oidc", "attestors", "registry", "state", "audit", "endpoints", "federation", "limits", "log"},
        {"tiers", "decisions"}));
    if (root.kind() != YamlNode::Kind::kMap) return;
    if (root.Find("trust_domain") == nullptr) {
      errors_.Add(root.Fail(
          "trust_domain is missing; it is the one setting without a default, e.g. trust_domain: example.org"));
    }
    Set(root, "trust_domain", config_.trust_domain, ReadTrustDomain);
    Set(root, "environment", config_.environment, [](const YamlNode& node) -> Result<Environment> {
      ASSIGN_OR_RETURN(const std::string text, node.AsString());
      Result<Environment> environment = ParseEnvironment(text);
      return environment.ok() ? environment : node.At(environment.status());
    });
    Set(root, "data_dir", config_.data_dir, CheckAbsolutePath);
    Section(root, "workload_socket", &ConfigReader::ReadWorkloadSocket);
    Section(root, "admin_socket", &ConfigReader::ReadAdminSocket);
    Section(root, "identity_source", &ConfigReader::ReadIdentitySource);
    Section(root, "svid", &ConfigReader::ReadSvid);
    Section(root, "oidc", &ConfigReader::ReadOidc);
    Section(root, "attestors", &ConfigReader::ReadAttestors);
    Section(root, "registry", &ConfigReader::ReadRegistry);
    Section(root, "state", &ConfigReader::ReadState);
    config_.audit.path = config_.data_dir + "/audit/audit.jsonl";
    Section(root, "audit", &ConfigReader::ReadAudit);
    if (const YamlNode* endpoints = root.Find("endpoints")) config_.endpoints = ReadEndpoints(*endpoints, errors_);
    if (const YamlNode* federation = root.Find("federation"))
      config_.federation = ReadFederation(*federation, config_.trust_domain, errors_);
    if (const YamlNode* limits = root.Find("limits")) ReadLimits(*limits, config_.limits, errors_);
    Section(root, "log", &ConfigReader::ReadLog);
  }

 private:
  // Where `key` is absent the default stays.
  template <class T, class Read>
  void Set(const YamlNode& map, std::string_view key, T& target, Read read) {
    const YamlNode* node = map.Find(key);
    if (node == nullptr) return;
    if (auto value = errors_.Take(read(*node))) {
      target = std::move(*value);
    } else {
      unread_.push_back(node->position());
    }
  }

  void Section(const YamlNode& map, std::string_view key, void (ConfigReader::*read)(const YamlNode&)) {
    if (const YamlNode* node = map.Find(key)) (this->*read)(*node);
  }

  void ReadWorkloadSocket(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"path", "mode"}));
    Set(node, "path", config_.workload_socket.path, CheckSocketPath);
    Set(node, "mode", config_.workload_socket.mode, ReadSocketMode);
  }

  void ReadAdminSocket(const YamlNode& node) {
    AdminSocketConfig& admin = config_.admin_socket;
    errors_.Add(node.RequireKnownKeys({"path", "mode", "group", "other_pid_namespaces"}));
    Set(node, "path", admin.path, CheckSocketPath);
    Set(node, "group", admin.group, [](const YamlNode& group) -> Result<std::string> {
      ASSIGN_OR_RETURN(std::string name, group.AsString());
      if (name.empty()) return name;
      if (Result<gid_t> gid = FindGroup(name); !gid.ok()) return group.At(gid.status());
      return name;
    });
    if (!admin.group.empty()) admin.mode = 0660;
    Set(node, "mode", admin.mode, ReadSocketMode);
    Set(node, "other_pid_namespaces", admin.other_pid_namespaces, [](const YamlNode& flag) { return flag.AsBool(); });
  }

  void ReadIdentitySource(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"embedded_ca"}, {"spire_server"}));
    Section(node, "embedded_ca", &ConfigReader::ReadEmbeddedCa);
  }

  void ReadEmbeddedCa(const YamlNode& node) {
    EmbeddedCaConfig& ca = config_.embedded_ca;
    errors_.Add(node.RequireKnownKeys(
        {"key_type", "ca_ttl", "issuer_cert", "issuer_key", "upstream_roots", "issuer_root_crl", "jwt_authority_key"}));
    Set(node, "key_type", ca.key_type, ReadKeyType);
    Set(node, "ca_ttl", ca.ca_ttl,
        [](const YamlNode& ttl) { return ReadDuration<std::chrono::seconds>(ttl, kShortestCaTtl, kLongestCa); });

    const bool given = node.Find("issuer_cert") != nullptr || node.Find("issuer_key") != nullptr ||
                       node.Find("upstream_roots") != nullptr || node.Find("issuer_root_crl") != nullptr;
    if (const YamlNode* key = node.Find("jwt_authority_key"); key != nullptr && !given) {
      errors_.Add(key->Fail("jwt_authority_key goes with a given issuer; without one the agent makes its own keys"));
    }
    if (!given) return;
    ca.given.emplace();
    Set(node, "jwt_authority_key", ca.given->jwt_authority_key, CheckAbsolutePath);
    const auto read = [&](std::string_view key, std::string& target) {
      if (node.Find(key) == nullptr)
        errors_.Add(node.Fail("{} is missing: a given issuer needs issuer_cert, issuer_key and upstream_roots", key));
      Set(node, key, target, CheckAbsolutePath);
    };
    read("issuer_cert", ca.given->issuer_cert);
    read("issuer_key", ca.given->issuer_key);
    read("upstream_roots", ca.given->upstream_roots);
    Set(node, "issuer_root_crl", ca.given->issuer_root_crl, CheckAbsolutePath);
    for (const std::string_view key : {"key_type", "ca_ttl"}) {
      if (const YamlNode* own = node.Find(key))
        errors_.Add(own->Fail("{} is for roots that the agent makes; it has no meaning with a given issuer", key));
    }
  }

  void ReadSvid(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"x509_ttl", "jwt_ttl", "key_type"}));
    Set(node, "x509_ttl", config_.svid.x509_ttl,
        [](const YamlNode& ttl) { return ReadDuration<std::chrono::seconds>(ttl, kShortestSvid, kLongestCa); });
    Set(node, "jwt_ttl", config_.svid.jwt_ttl,
        [](const YamlNode& ttl) { return ReadDuration<std::chrono::seconds>(ttl, kShortestSvid, kLongestJwt); });
    Set(node, "key_type", config_.svid.key_type, ReadKeyType);
  }

  void ReadOidc(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"issuer"}));
    Set(node, "issuer", config_.oidc.issuer, ReadOidcIssuer);
  }

  void ReadAttestors(const YamlNode& node) { config_.attestors = lanyard::ReadAttestors(node, errors_); }

  void ReadRegistry(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"paths"}));
    Set(node, "paths", config_.registry_paths, [this](const YamlNode& list) -> Result<std::vector<std::string>> {
      ASSIGN_OR_RETURN(const std::span<const YamlNode> nodes, list.AsList());
      if (nodes.empty()) return list.Fail("name at least one registry path; without entries nobody gets an identity");
      std::vector<std::string> paths;
      for (const YamlNode& path : nodes) {
        auto checked = errors_.Take(CheckAbsolutePath(path));
        if (!checked) unread_.push_back(list.position());
        paths.push_back(checked.value_or(""));
      }
      return paths;
    });
  }

  void ReadState(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"sqlite"}, {"etcd"}));
    if (const YamlNode* sqlite = node.Find("sqlite")) errors_.Add(sqlite->RequireKnownKeys({}));
  }

  void ReadAudit(const YamlNode& node) {
    AuditConfig& audit = config_.audit;
    errors_.Add(
        node.RequireKnownKeys({"path", "checkpoints_to", "checkpoint_interval", "sync", "rotate_at", "keep_files"}));
    Set(node, "path", audit.path, CheckAbsolutePath);
    Set(node, "checkpoints_to", audit.checkpoints_to, [](const YamlNode& to) -> Result<std::string> {
      ASSIGN_OR_RETURN(std::string text, to.AsString());
      if (text.empty() || text == "syslog") return text;
      return CheckAbsolutePath(to);
    });
    Set(node, "checkpoint_interval", audit.checkpoint_interval, [](const YamlNode& interval) {
      return ReadDuration<std::chrono::seconds>(interval, std::chrono::seconds(1), std::chrono::hours(24));
    });
    Set(node, "sync", audit.sync, [](const YamlNode& sync) -> Result<SyncPolicy> {
      ASSIGN_OR_RETURN(const std::string name, sync.AsString());
      Result<SyncPolicy> policy = ParseSyncPolicy(name);
      return policy.ok() ? policy : sync.At(policy.status());
    });
    Set(node, "rotate_at", audit.rotate_bytes, ReadSize);
    Set(node, "keep_files", audit.keep_files, ReadCount<0, 1'000'000>);
  }

  void ReadLog(const YamlNode& node) {
    errors_.Add(node.RequireKnownKeys({"level", "format"}));
    Set(node, "level", config_.log.level, [](const YamlNode& level) -> Result<LogLevel> {
      ASSIGN_OR_RETURN(const std::string name, level.AsString());
      if (const auto parsed = ParseLogLevel(name)) return *parsed;
      return level.Fail("unknown log level \"{}\"; valid are debug, info, warn and error", name);
    });
    Set(node, "format", config_.log.format, [](const YamlNode& format) -> Result<LogFormat> {
      ASSIGN_OR_RETURN(const std::string name, format.AsString());
      if (const auto parsed = ParseLogFormat(name)) return *parsed;
      return format.Fail("unknown log format \"{}\"; valid are text and json", name);
    });
  }

  Config& config_;
  YamlErrors& errors_;
  std::vector<SourcePosition> unread_;
};

}  // namespace

Result<Config> ParseConfig(std::string_view text, std::string_view file, const YamlVariables& variables) {
  ASSIGN_OR_RETURN(const std::vector<YamlNode> documents, ParseYaml(text, file, variables));
  if (documents.empty()) {
    return Error(StatusCode::kInvalidArgument, "{}:1:1: the configuration is empty; at least trust_domain must be set",
                 file);
  }
  if (documents.size() > 1) return documents[1].Fail("a configuration is one YAML document; this is another");

  ASSIGN_OR_RETURN(TrustDomain placeholder, TrustDomain::Parse("unset"));  // replaced, or there is an error
  Config config(std::move(placeholder));
  YamlErrors errors;
  ConfigReader reader(config, errors);
  reader.Read(documents.front());
  if (documents.front().kind() == YamlNode::Kind::kMap)
    CheckAgreement(config, documents.front(), reader.unread(), errors);
  RETURN_IF_ERROR(errors.status());
  return config;
}

Result<Config> LoadConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfigBytes));
  return ParseConfig(text, path, EnvironmentVariables());
}

CaOptions CaOptionsOf(const Config& config) {
  return {.trust_domain = config.trust_domain,
          .key_type = config.embedded_ca.key_type,
          .ca_ttl = config.embedded_ca.ca_ttl,
          .usual_leaf_ttl = config.svid.x509_ttl,
          .usual_jwt_ttl = config.svid.jwt_ttl,
          .jwt_issuer = config.oidc.issuer,
          .given = config.embedded_ca.given};
}

AuditOptions AuditOptionsOf(const Config& config) {
  return {.path = config.audit.path,
          .key_path = config.data_dir + "/audit.key",
          .environment = std::string(EnvironmentName(config.environment)),
          .checkpoints_to = config.audit.checkpoints_to,
          .sync = config.audit.sync,
          .rotate_bytes = config.audit.rotate_bytes,
          .keep_files = config.audit.keep_files,
          .checkpoint_interval = config.audit.checkpoint_interval};
}

SvidCacheOptions SvidOptionsOf(const Config& config) {
  return {.default_ttl = config.svid.x509_ttl, .default_key_type = config.svid.key_type};
}

JwtSvidCacheOptions JwtOptionsOf(const Config& config) {
  return {.default_ttl = config.svid.jwt_ttl};
}

std::vector<std::string> ErrorLines(const Status& status) {
  std::vector<std::string> lines;
  std::string_view rest = Message(status);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (end != 0) lines.emplace_back(rest.substr(0, end));
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace lanyard
