// Signs again and again with one P-256 key: ECDSA with SHA-256, as certificates and tokens are signed.
//
// To prepare a signature takes OpenSSL nearly as long as to make it; so the digest and the prepared contexts are kept.
//
// Thread: any; immutable but for the contexts, which a mutex guards: a context may not be used by two threads at once,
// and in this pool it dies with the signer and does not keep an old key alive in some thread. Private to this room.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/key.h"

namespace lanyard {

class P256Signer {
 public:
  // InvalidArgument when the key is of another type.
  static Result<std::shared_ptr<P256Signer>> For(const PrivateKey& key);

  // The signature of `message` as Ecdsa-Sig-Value (RFC 3279 §2.2.3).
  Result<std::string> Sign(std::string_view message);

  ~P256Signer();
  P256Signer(const P256Signer&) = delete;
  P256Signer& operator=(const P256Signer&) = delete;

 private:
  struct Kept;
  explicit P256Signer(std::unique_ptr<Kept> kept);

  std::unique_ptr<Kept> kept_;
};

}  // namespace lanyard
