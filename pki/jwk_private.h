// A private key as a JSON Web Key (RFC 7518 §6.2.2, §6.3.2): what a workload gets with a WIT-SVID.
//
// Thread: any.
#pragma once

#include "node_agent/base/status.h"
#include "pki/key.h"
#include "pki/secret_bytes.h"

namespace lanyard {

// With "alg", the algorithm that the key is for.
Result<SecretBytes> PrivateKeyToJwk(const PrivateKey& key);

}  // namespace lanyard
