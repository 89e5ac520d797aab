// A key that signs tokens, together with the ID under which the bundle names it.
//
// Thread: any; immutable, copies share the key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/jws_signature.h"
#include "pki/jwt_authority.h"
#include "pki/key.h"

namespace lanyard {

class TokenSigner {
 public:
  // `not_after`: of the authority; no token that it signs lives longer. The key ID is the key's thumbprint.
  static Result<TokenSigner> Create(PrivateKey key, std::optional<JwtAuthority::TimePoint> not_after = {});
  static Result<TokenSigner> Create(JwtAuthority authority, PrivateKey key);  // whose key is the private one's

  const JwtAuthority& authority() const { return authority_; }

  // A token of these claims, a JSON object, with "alg", "kid" and this "typ" in its header (JWT-SVID §2, WIT-SVID §4).
  Result<std::string> Sign(std::string_view type, std::string_view claims) const;

 private:
  TokenSigner(JwtAuthority authority, JwsSigner signer)
      : authority_(std::move(authority)), signer_(std::move(signer)) {}

  JwtAuthority authority_;
  JwsSigner signer_;
};

}  // namespace lanyard
