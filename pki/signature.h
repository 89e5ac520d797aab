// ECDSA over P-256 with SHA-256: signatures that anybody can check with the openssl program.
//
//   openssl dgst -sha256 -verify key.pub -signature signature.der message
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/key.h"

namespace lanyard {

// The signature of `message` as DER (RFC 3279 §2.2.3). InvalidArgument when the key is not P-256. Who signs for more
// than one purpose puts the purpose into the message.
Result<std::string> SignEcdsaSha256(const PrivateKey& key, std::string_view message);

// OK when `signature` is that of `message` by `key`. InvalidArgument when the key is not P-256, Unauthenticated when
// the signature is not DER or is not valid.
Status VerifyEcdsaSha256(const PublicKey& key, std::string_view message, std::string_view signature);

}  // namespace lanyard
