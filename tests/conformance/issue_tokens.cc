// Issues a JWT-SVID and a WIT-SVID with each type of key, for another program to judge.
//
// Prints a JSON array; each element has the tokens, the key of the WIT-SVID as a JWK, and the key sets that they are to
// be checked with.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "pki/bundle.h"
#include "pki/jwk_private.h"
#include "pki/jwt_svid.h"
#include "pki/wit_svid.h"

namespace lanyard {
namespace {

Result<nlohmann::json> IssueWith(KeyType type) {
  ASSIGN_OR_RETURN(const PrivateKey jwt_key, PrivateKey::Generate(type));
  ASSIGN_OR_RETURN(const PrivateKey wit_key, PrivateKey::Generate(type));
  ASSIGN_OR_RETURN(const TokenSigner jwt_signer, TokenSigner::Create(jwt_key));
  ASSIGN_OR_RETURN(const TokenSigner wit_signer, TokenSigner::Create(wit_key));
  ASSIGN_OR_RETURN(const SpiffeId id, SpiffeId::Parse("spiffe://example.org/tool"));
  const auto now = std::chrono::system_clock::now(), end = now + std::chrono::minutes(5);
  ASSIGN_OR_RETURN(const JwtSvid jwt, JwtSvid::Issue(jwt_signer, {.id = id,
                                                                  .audiences = {"reports", "billing"},
                                                                  .issued_at = now,
                                                                  .expires = end,
                                                                  .issuer = "https://oidc.example.org"}));
  ASSIGN_OR_RETURN(const WitSvid wit, WitSvid::Issue(wit_signer, {.id = id,
                                                                  .key_type = type,
                                                                  .not_before = now - std::chrono::seconds(10),
                                                                  .issued_at = now,
                                                                  .expires = end}));
  ASSIGN_OR_RETURN(const SecretBytes wit_jwk, PrivateKeyToJwk(wit.key()));
  ASSIGN_OR_RETURN(
      const Bundle bundle,
      Bundle::Create(id.trust_domain(), {}, {}, {.jwt = {jwt_signer.authority()}, .wit = {wit_signer.authority()}}));
  return nlohmann::json{{"key_type", std::string(KeyTypeName(type))},
                        {"jwt", jwt.token()},
                        {"jwt_keys", nlohmann::json::parse(bundle.JwtKeySet())},
                        {"wit", wit.token()},
                        {"wit_keys", nlohmann::json::parse(bundle.WitKeySet())},
                        {"wit_key", nlohmann::json::parse(wit_jwk.expose())}};
}

}  // namespace
}  // namespace lanyard

int main() {
  using lanyard::KeyType;
  nlohmann::json all = nlohmann::json::array();
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const auto issued = lanyard::IssueWith(type);
    if (!issued.ok()) {
      std::fprintf(stderr, "%s\n", issued.status().ToString().c_str());
      return 1;
    }
    all.push_back(*issued);
  }
  std::puts(all.dump().c_str());
  return 0;
}
