#include "pki/token_signer.h"

#include <utility>

#include "pki/jws.h"

namespace lanyard {

Result<TokenSigner> TokenSigner::Create(PrivateKey key, std::optional<JwtAuthority::TimePoint> not_after) {
  ASSIGN_OR_RETURN(JwtAuthority authority, JwtAuthority::Create(key.public_key(), not_after));
  return Create(std::move(authority), std::move(key));
}

Result<TokenSigner> TokenSigner::Create(JwtAuthority authority, PrivateKey key) {
  if (!authority.key().SameAs(key.public_key())) {
    return Error(StatusCode::kInvalidArgument, "the private key is not the one of authority {}", authority.key_id());
  }
  ASSIGN_OR_RETURN(JwsSigner signer, JwsSigner::For(std::move(key)));
  return TokenSigner(std::move(authority), std::move(signer));
}

Result<std::string> TokenSigner::Sign(std::string_view type, std::string_view claims) const {
  return MakeJws({.key_id = authority_.key_id(), .type = std::string(type)}, claims, signer_);
}

}  // namespace lanyard
