// Signatures as RFC 7518 §3 wants them: for ECDSA the two numbers one after another, not DER.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/jws_algorithm.h"
#include "pki/key.h"

namespace lanyard {

// The signature of `input`, as bytes. InvalidArgument when the key does not go with the algorithm.
Result<std::string> SignJws(JwsAlgorithm algorithm, const PrivateKey& key, std::string_view input);

// OK when `signature` is that of `input` by `key`. InvalidArgument when the key does not go with the algorithm,
// Unauthenticated when the signature has another length than it must have, or is not valid.
Status VerifyJws(JwsAlgorithm algorithm, const PublicKey& key, std::string_view input, std::string_view signature);

}  // namespace lanyard
