// A private key as a JSON Web Key (RFC 7518 §6.2.2, §6.3.2), and back: what a workload gets with a WIT-SVID.
//
// Thread: any. The secret numbers are only ever in memory that is wiped.
#pragma once

#include <string_view>

#include "node_agent/base/status.h"
#include "pki/key.h"
#include "pki/secret_bytes.h"

namespace lanyard {

// With "alg", the algorithm that the key is for.
Result<SecretBytes> PrivateKeyToJwk(const PrivateKey& key);

// Of RSA keys all numbers are wanted that RFC 7518 §6.3.2 says a producer should write. InvalidArgument, with the
// reason and never with the text, when it is no such key or one that no SVID may have.
Result<PrivateKey> PrivateKeyFromJwk(std::string_view json);

}  // namespace lanyard
