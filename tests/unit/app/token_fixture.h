// An agent that a test plays, with tokens to hand out.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/app/text_output.h"
#include "pki/jwk_private.h"
#include "pki/jwt_svid.h"
#include "pki/token_signer.h"
#include "pki/wit_svid.h"
#include "tests/unit/app/fetch_fixture.h"

namespace lanyard {

using std::chrono::minutes;
using testing::ElementsAre;

struct TokenAuthority {
  TokenSigner jwt = *TokenSigner::Create(*PrivateKey::Generate(KeyType::kEcP256));
  TokenSigner wit = *TokenSigner::Create(*PrivateKey::Generate(KeyType::kEcP256));

  static SpiffeId Id(const char* path) { return *SpiffeId::Parse(std::string("spiffe://example.org") + path); }

  JWTSVID Jwt(const char* path, std::vector<std::string> audiences = {"reports", "billing"},
              minutes ttl = minutes(5)) const {
    const auto now = std::chrono::system_clock::now();
    const JwtSvid svid = *JwtSvid::Issue(jwt, {.id = Id(path),
                                               .audiences = std::move(audiences),
                                               .issued_at = now - minutes(30),
                                               .expires = now + ttl,
                                               .issuer = {}});
    JWTSVID message;
    message.set_spiffe_id(svid.id().str());
    message.set_svid(svid.token());
    return message;
  }

  WITSVID Wit(const char* path, minutes ttl = minutes(5)) const {
    const auto now = std::chrono::system_clock::now();
    const WitSvid svid = *WitSvid::Issue(
        wit, {.id = Id(path), .not_before = now - minutes(30), .issued_at = now - minutes(30), .expires = now + ttl});
    WITSVID message;
    message.set_spiffe_id(svid.id().str());
    message.set_wit_svid(svid.token());
    message.set_wit_svid_key(std::string(PrivateKeyToJwk(svid.key())->expose()));
    return message;
  }

  Bundle MakeBundle() const {
    return *Bundle::Create(*TrustDomain::Parse("example.org"), {}, {},
                           {.jwt = {jwt.authority()}, .wit = {wit.authority()}});
  }
};

class TokenTest : public FetchTest {
 protected:
  TokenTest() {
    *api_.jwt_svids.add_svids() = tokens_.Jwt("/agent");
    *api_.wit_svids.add_svids() = tokens_.Wit("/agent");
    const Bundle bundle = tokens_.MakeBundle();
    (*api_.jwt_bundles.emplace_back().mutable_bundles())["spiffe://example.org"] = bundle.JwtKeySet();
    (*api_.wit_bundles.mutable_bundles())["spiffe://example.org"] = bundle.WitKeySet();
    api_.jwt_end = api_.wit_end = grpc::Status::OK;
    api_.validated.set_spiffe_id("spiffe://example.org/agent");
    for (const char* name : {"sub", "aud", "exp"}) {
      (*api_.validated.mutable_claims()->mutable_fields())[name].set_string_value("as the agent writes it");
    }
  }

  TokenAuthority tokens_;
};

}  // namespace lanyard
