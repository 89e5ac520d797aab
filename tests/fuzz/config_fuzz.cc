// lanyard.yaml: whatever is accepted keeps every limit that the documentation gives, reads the same twice and changes
// nothing when it is read again in a running agent; whatever is refused is told line by line with its position.
#include "node_agent/app/config.h"
#include "node_agent/app/config_reload.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

std::optional<std::string> Variable(const std::string& name) {
  return name == "NODE" ? std::optional<std::string>("node1") : std::nullopt;
}

Result<Config> Parse(std::string_view text) {
  return ParseConfig(text, "f.yaml", Variable);
}

void CheckErrors(const Status& error) {
  RequireTold(error, StatusCode::kInvalidArgument);
  const auto lines = ErrorLines(error);
  Require(!lines.empty());
  for (const std::string& line : lines) {
    Require(line.starts_with("f.yaml:"));
    Require(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
  }
}

void CheckPath(const std::string& path, size_t most = 4096) {
  Require(path.starts_with('/') && path.size() <= most && path.find('\0') == std::string::npos);
  Require((path + "/").find("/../") == std::string::npos);
}

void CheckLimits(const Config& config) {
  const auto domain = TrustDomain::Parse(config.trust_domain.name());
  Require(domain.ok() && *domain == config.trust_domain);
  CheckPath(config.data_dir, SIZE_MAX);
  CheckPath(config.workload_socket.path, 107);  // sockaddr_un
  CheckPath(config.admin_socket.path, 107);
  Require(config.workload_socket.path != config.admin_socket.path);
  Require(config.workload_socket.mode <= 0777 && config.admin_socket.mode <= 0777);
  Require(config.svid.x509_ttl >= seconds(5));
  Require(config.svid.jwt_ttl >= seconds(5) && config.svid.jwt_ttl <= hours(24));
  Require(config.oidc.issuer.empty() || config.oidc.issuer.starts_with("https://"));
  if (config.embedded_ca.given) {
    for (const auto& path : {config.embedded_ca.given->issuer_cert, config.embedded_ca.given->issuer_key,
                             config.embedded_ca.given->upstream_roots})
      CheckPath(path, SIZE_MAX);
    if (const std::string& key = config.embedded_ca.given->jwt_authority_key; !key.empty()) CheckPath(key, SIZE_MAX);
    if (const std::string& path = config.embedded_ca.given->issuer_root_crl; !path.empty()) CheckPath(path, SIZE_MAX);
  } else {
    Require(config.embedded_ca.ca_ttl > config.svid.x509_ttl);
  }
  Require(!config.registry_paths.empty());
  for (const std::string& path : config.registry_paths) CheckPath(path, SIZE_MAX);
  CheckPath(config.audit.path, SIZE_MAX);
  Require(config.audit.rotate_bytes >= 64 << 10 && config.audit.keep_files <= 1'000'000);
  Require(config.audit.checkpoint_interval >= seconds(1) && config.audit.checkpoint_interval <= hours(24));
  const CallerLimits& caller = config.limits.per_caller;
  for (const unsigned limit : {caller.connections, caller.connections_per_second, caller.calls_per_second,
                               caller.calls_in_flight, caller.streams})
    Require(limit >= 1 && limit <= 1'000'000);
  for (const unsigned limit : {config.limits.per_identity.calls_per_second, config.limits.per_identity.streams})
    Require(limit >= 1 && limit <= 1'000'000);
  Require(config.limits.reattestation_interval >= seconds(1) &&
          config.limits.reattestation_interval <= std::chrono::hours(24));
  Require(config.limits.attestation_timeout >= milliseconds(10) && config.limits.attestation_timeout <= seconds(60));
  for (const auto& endpoint : {config.endpoints.metrics, config.endpoints.health}) {
    if (!endpoint) continue;
    const auto again = ParseHttpAddress(endpoint->str());
    Require(again.ok() && *again == *endpoint);
  }
  const BundleEndpointConfig& bundle = config.endpoints.bundle;
  Require(bundle.cert.empty() == bundle.key.empty());
  for (const std::string& path : {bundle.cert, bundle.key}) {
    if (!path.empty()) CheckPath(path, SIZE_MAX);
  }
  for (const ForeignBundleFile& file : config.federation.trust_domains) {
    Require(file.trust_domain != config.trust_domain);
    CheckPath(file.path, SIZE_MAX);
  }
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const auto config = Parse(AsText(data, size));
  const auto again = Parse(AsText(data, size));
  Require(config.status() == again.status());
  if (!config.ok()) {
    CheckErrors(config.status());
    return 0;
  }
  CheckLimits(*config);
  const ConfigReload reload = ReloadConfig(*config, *again);
  Require(reload.taken_over.empty() && reload.need_restart.empty());
  // From the defaults to this one every setting is either taken over or waits, and none does both.
  const ConfigReload change = ReloadConfig(Config(config->trust_domain), *config);
  for (const std::string& key : change.taken_over)
    Require(std::count(change.need_restart.begin(), change.need_restart.end(), key) == 0);
  const ConfigReload rest = ReloadConfig(change.in_force, *config);
  Require(rest.taken_over.empty() && rest.need_restart == change.need_restart);
  return 0;
}
