#include "node_agent/app/oidc_discovery.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "node_agent/app/config_oidc.h"
#include "pki/jwk_set.h"
#include "pki/jws_algorithm.h"

namespace lanyard {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kConfigurationPath = "/.well-known/openid-configuration", kKeysPath = "/keys";

// §4.1: a slash at the end of the issuer goes before the path is put behind it
std::string WithoutLastSlash(std::string url) {
  if (url.ends_with('/')) url.pop_back();
  return url;
}

// What goes with an EC key; of what goes with RSA keys, that which ours sign with.
std::string_view AlgorithmOf(const PublicKey& key) {
  for (const JwsAlgorithm algorithm :
       {JwsAlgorithm::kEs256, JwsAlgorithm::kEs384, JwsAlgorithm::kEs512, JwsAlgorithm::kRs256}) {
    if (CheckKeyFits(algorithm, key).ok()) return JwsAlgorithmName(algorithm);
  }
  return {};  // no authority has such a key
}

}  // namespace

OidcDiscovery::OidcDiscovery(std::string issuer, std::chrono::seconds max_age)
    : issuer_(std::move(issuer)),
      base_(WithoutLastSlash(issuer_)),
      cache_control_(fmt::format("max-age={}", max_age.count())) {}

void OidcDiscovery::Show(const Bundle& bundle) {
  shown_ = true;
  configuration_.clear();
  keys_.clear();
  if (bundle.jwt_authorities().empty()) return;
  Json key_set, configuration;
  std::set<std::string> algorithms;
  for (const JwtAuthority& authority : bundle.jwt_authorities()) {
    Json key = AuthorityToJwk(authority, "sig");
    const std::string_view algorithm = AlgorithmOf(authority.key());
    key["alg"] = algorithm;
    key_set["keys"].push_back(std::move(key));
    algorithms.emplace(algorithm);
  }
  configuration["issuer"] = issuer_;
  configuration["jwks_uri"] = fmt::format("{}{}", base_, kKeysPath);
  configuration["response_types_supported"] = Json::array({"id_token"});
  configuration["subject_types_supported"] = Json::array({"public"});
  configuration["id_token_signing_alg_values_supported"] = algorithms;
  keys_ = key_set.dump();
  configuration_ = configuration.dump();
}

HttpResponse OidcDiscovery::Answer(const std::string& document) const {
  if (!shown_) return {.status = 503, .body = "the bundle is not there yet\n"};
  if (document.empty()) {
    return {.status = 503,
            .body =
                "no key signs JWT-SVIDs here: with a given issuer, set "
                "identity_source.embedded_ca.jwt_authority_key\n"};
  }
  return {.content_type = "application/json", .cache_control = cache_control_, .body = document};
}

HttpRoutes OidcDiscovery::Routes() {
  const std::string path(OidcIssuerPath(base_));
  return {{fmt::format("{}{}", path, kConfigurationPath), [this] { return Answer(configuration_); }},
          {fmt::format("{}{}", path, kKeysPath), [this] { return Answer(keys_); }}};
}

}  // namespace lanyard
