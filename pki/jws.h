// A signed token in JWS compact serialization (RFC 7515 §3.1): header, payload and exactly one signature.
//
// Whatever could lead a verifier astray is refused while reading, before any key is looked at: an algorithm that is not
// one of the nine, critical extensions (none is understood here, RFC 7515 §4.1.11), a key or the address of a key in
// the header (jwk, jku, x5c, x5u: a key comes from the bundle or from nowhere), a name that stands twice, a second
// spelling of the same bytes. JSON serialization, more than one signature and encryption do not have this form.
//
// Thread: any; immutable. An error never quotes the token.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/jws_algorithm.h"
#include "pki/jws_signature.h"
#include "pki/key.h"

namespace lanyard {

// Longer tokens are neither made nor read. A header of HTTP takes about as much.
inline constexpr std::size_t kMaxTokenBytes = 16384;

class Jws {
 public:
  // InvalidArgument when it is no such token.
  static Result<Jws> Parse(std::string_view token);

  JwsAlgorithm algorithm() const { return algorithm_; }
  const std::optional<std::string>& key_id() const { return key_id_; }
  const std::optional<std::string>& type() const { return type_; }
  const std::string& payload() const { return payload_; }

  // Unauthenticated when the key's owner did not sign this; InvalidArgument when the key does not go with "alg".
  Status CheckSignature(const PublicKey& key) const;

 private:
  Jws() = default;
  Status ReadHeader(std::string_view json);

  JwsAlgorithm algorithm_{};
  std::optional<std::string> key_id_, type_;
  std::string payload_;
  std::string input_;      // what was signed, RFC 7515 §5.1
  std::string signature_;  // bytes
};

struct JwsHeader {
  std::string key_id;
  std::string type;
};

// A token with the signer's "alg", "kid" and "typ" in its header and nothing else. Takes the payload as it is.
// InvalidArgument when the token would be longer than Parse() reads.
Result<std::string> MakeJws(const JwsHeader& header, std::string_view payload, const JwsSigner& signer);

}  // namespace lanyard
