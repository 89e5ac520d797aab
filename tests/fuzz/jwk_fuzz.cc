// A JWK that is accepted says the numbers of the key that was read, whose thumbprint has one length, and goes with some
// algorithm; an authority made of it is written and read back as the same one.
#include "pki/jwk.h"

#include <nlohmann/json.hpp>

#include "pki/jwk_set.h"
#include "pki/jws_algorithm.h"
#include "pki/strict_json.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

constexpr JsonLimits kLimits{.bytes = 65536};

void CheckAuthority(const nlohmann::json& jwk, const PublicKey& key) {
  const auto authority = AuthorityFromJwk(jwk);
  if (!authority.ok()) {
    RequireTold(authority.status(), StatusCode::kInvalidArgument);
    const std::string* key_id = StringMember(jwk, "kid");
    return Require(key_id == nullptr || key_id->empty() || key_id->size() > 1024);
  }
  Require(authority->key().SameAs(key) && authority->key_id() == *StringMember(jwk, "kid"));
  const auto written = ParseJsonObject(AuthorityToJwk(*authority, "jwt-svid").dump(), kLimits);
  Require(written.ok() && *StringMember(*written, "use") == "jwt-svid");
  const auto again = AuthorityFromJwk(*written);
  Require(again.ok() && *again == *authority);
}

void CheckJwk(const nlohmann::json& jwk) {
  const auto key = PublicKeyFromJwk(jwk);
  if (!key.ok()) {
    RequireTold(key.status(), StatusCode::kInvalidArgument);
    return Require(!AuthorityFromJwk(jwk).ok());
  }
  Require(!jwk.contains("d"));
  const auto members = JwkMembersOf(*key);
  const auto kind = JwkKindOf(*key);
  Require(members.ok() && kind.ok());
  nlohmann::ordered_json written;
  members->PutInto(written);
  for (const auto& [name, value] : written.items()) Require(jwk.at(name) == value.get<std::string>());
  const auto thumbprint = JwkThumbprint(*members);
  Require(thumbprint.ok() && thumbprint->size() == 43);
  int fitting = 0;
  for (const char* name : {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}) {
    if (CheckKeyFits(*ParseJwsAlgorithm(name), *key).ok()) ++fitting;
  }
  Require(fitting == (*kind == JwkKind::kRsa ? 6 : 1));
  CheckAuthority(jwk, *key);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto jwk = lanyard::ParseJsonObject(lanyard::AsText(data, size), lanyard::kLimits);
  if (jwk.ok()) lanyard::CheckJwk(*jwk);
  return 0;
}
