// Signatures as RFC 7518 §3 wants them: for ECDSA the two numbers one after another, not DER.
//
// Thread: any.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/jws_algorithm.h"
#include "pki/key.h"
#include "pki/p256_signer.h"

namespace lanyard {

// Signs with one key, and with the algorithm that goes with it. A value; copies share the key.
class JwsSigner {
 public:
  static Result<JwsSigner> For(PrivateKey key);

  JwsAlgorithm algorithm() const { return JwsAlgorithmFor(key_.type()); }
  Result<std::string> Sign(std::string_view input) const;  // as bytes

 private:
  JwsSigner(PrivateKey key, std::shared_ptr<P256Signer> p256) : key_(std::move(key)), p256_(std::move(p256)) {}

  PrivateKey key_;
  std::shared_ptr<P256Signer> p256_;  // null where the key is of another type
};

// OK when `signature` is that of `input` by `key`. InvalidArgument when the key does not go with the algorithm,
// Unauthenticated when the signature has another length than it must have, or is not valid.
Status VerifyJws(JwsAlgorithm algorithm, const PublicKey& key, std::string_view input, std::string_view signature);

}  // namespace lanyard
