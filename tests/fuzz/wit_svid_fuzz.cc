// A token that is accepted as a WIT-SVID follows the profile, by its own words, is no JWT-SVID, and is believed by
// nobody whose bundle has another key.
#include "pki/wit_svid.h"

#include <nlohmann/json.hpp>

#include "pki/jwk.h"
#include "pki/jws.h"
#include "pki/jwt_svid.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds(1765453000)};

// RFC 7515 appendix A.3.1; it has signed no WIT-SVID.
constexpr std::string_view kKey =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";

void CheckProfile(const WitToken& wit, std::string_view token) {
  Require(wit.token() == token && !wit.key_id().empty());
  const auto jws = Jws::Parse(token);
  Require(jws.ok() && jws->type() == "wit+jwt" && jws->key_id() == wit.key_id());
  const auto claims = nlohmann::json::parse(jws->payload(), nullptr, false);
  Require(claims.at("sub") == wit.id().str() && claims.contains("exp") && !claims.contains("aud"));
  const nlohmann::json& jwk = claims.at("cnf").at("jwk");
  const auto key = PublicKeyFromJwk(jwk);
  Require(key.ok() && key->SameAs(wit.key()) && !jwk.contains("d"));
  Require(jwk.at("alg") == std::string(JwsAlgorithmName(wit.key_algorithm())));
  Require(CheckKeyFits(wit.key_algorithm(), wit.key()).ok());
}

void CheckToken(std::string_view token) {
  const auto wit = WitToken::ParseUnverified(token);
  if (!wit.ok()) {
    RequireTold(wit.status(), StatusCode::kInvalidArgument);
    return RequireTold(ValidateWitToken(token, BundleSet(), kNow).status(), StatusCode::kInvalidArgument);
  }
  CheckProfile(*wit, token);
  Require(!JwtSvid::ParseUnverified(token).ok());
  static const PublicKey key = PublicKeyFromJwk(nlohmann::json::parse(kKey)).value();
  const auto authority = JwtAuthority::Create(wit->key_id(), key);
  if (!authority.ok()) return;  // such a long ID is in no bundle
  BundleSet bundles({Bundle::Create(wit->id().trust_domain(), {}, {}, {.wit = {*authority}}).value()});
  RequireTold(ValidateWitToken(token, bundles, kNow).status(), StatusCode::kUnauthenticated);
  const auto other = WitSvid::Create(token, PrivateKey::Generate(KeyType::kEcP256).value());
  RequireTold(other.status(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckToken(lanyard::AsText(data, size));
  return 0;
}
