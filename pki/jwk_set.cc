#include "pki/jwk_set.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "pki/jwk.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

// Nothing if the entry is to be skipped.
Result<std::optional<JwtAuthority>> ReadEntry(const nlohmann::json& entry, std::string_view use) {
  if (!entry.is_object()) return Wrong("it is not a JSON object");
  const std::string* kty = StringMember(entry, "kty");
  if (kty == nullptr) return Wrong("\"kty\" is missing or not a string");  // RFC 7517 §4.1
  if (*kty != "EC" && *kty != "RSA") return std::optional<JwtAuthority>();
  if (entry.contains("use")) {
    const std::string* said = StringMember(entry, "use");
    if (said == nullptr || (*said != use && *said != "sig")) return Wrong("its use is not {}", use);
  }
  ASSIGN_OR_RETURN(JwtAuthority authority, AuthorityFromJwk(entry));
  return std::optional<JwtAuthority>(std::move(authority));
}

}  // namespace

Result<JwtAuthority> AuthorityFromJwk(const nlohmann::json& entry) {
  const std::string* key_id = StringMember(entry, "kid");
  if (key_id == nullptr) return Wrong("\"kid\" is missing or not a string");
  ASSIGN_OR_RETURN(PublicKey key, PublicKeyFromJwk(entry));
  return JwtAuthority::Create(*key_id, std::move(key));
}

nlohmann::ordered_json AuthorityToJwk(const JwtAuthority& authority, std::string_view use) {
  nlohmann::ordered_json entry;
  if (!use.empty()) entry["use"] = use;
  entry["kid"] = authority.key_id();
  authority.members().PutInto(entry);
  return entry;
}

std::string WriteJwkSet(const std::vector<JwtAuthority>& authorities) {
  nlohmann::ordered_json document;
  document["keys"] = nlohmann::ordered_json::array();
  for (const JwtAuthority& authority : authorities) document["keys"].push_back(AuthorityToJwk(authority, ""));
  return document.dump();
}

Result<std::vector<JwtAuthority>> ParseJwkSet(std::string_view json, std::string_view use) {
  Result<nlohmann::json> document = ParseJsonObject(json, kJwkSetLimits);
  if (!document.ok()) return Annotate(document.status(), "read JWK Set");
  const auto keys = document->find("keys");
  if (keys == document->end() || !keys->is_array()) return Wrong("read JWK Set: it has no array \"keys\"");
  std::vector<JwtAuthority> authorities;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    Result<std::optional<JwtAuthority>> authority = ReadEntry((*keys)[i], use);
    if (!authority.ok()) return Annotate(authority.status(), "read JWK Set: entry {} of \"keys\"", i + 1);
    if (authority->has_value()) authorities.push_back(**std::move(authority));
  }
  return authorities;
}

}  // namespace lanyard
