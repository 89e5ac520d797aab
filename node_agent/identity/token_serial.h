// What tells a token from all others where a certificate has its serial number.
//
// Thread: any.
#pragma once

#include <string>

#include "pki/digest.h"

namespace lanyard {

// The token's ID ("jti"), or if whoever made it gave it none, its SHA-256 in hex.
inline std::string TokenSerial(const std::string& token_id, const std::string& token) {
  if (!token_id.empty()) return token_id;
  Sha256 digest;
  digest.Update(token);
  return digest.FinishHex().value_or("");
}

}  // namespace lanyard
