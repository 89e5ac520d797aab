// Public keys as JSON Web Keys (RFC 7517, RFC 7518 §6), and back.
//
// Only kinds of keys that a token here can be signed with: EC on P-256, P-384 and P-521, RSA of 2048 to 8192 bits (more
// would let a stranger choose how long we compute). A number has one spelling: EC coordinates have the full length of
// the curve, RSA numbers have no zeros before them.
//
// Thread: any.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/key.h"

namespace lanyard {

enum class JwkKind { kP256, kP384, kP521, kRsa };
std::string_view JwkKindName(JwkKind kind);  // "P-256", "P-384", "P-521", "RSA"

// InvalidArgument, saying what the key is, for every other kind.
Result<JwkKind> JwkKindOf(const PublicKey& key);

// The members that are the key itself: EC with crv, x, y (RFC 7518 §6.2.1), RSA with n, e (§6.3.1).
struct JwkMembers {
  std::string kty, crv;
  std::string first, second;  // x and y, or n and e, as base64url

  // Adds them to the object, in this order.
  void PutInto(nlohmann::ordered_json& object) const;

  friend bool operator==(const JwkMembers&, const JwkMembers&) = default;
};

// Also of RSA keys that are shorter or longer than those above. InvalidArgument if the key has no such form.
Result<JwkMembers> JwkMembersOf(const PublicKey& key);

// InvalidArgument, with the reason: also when the point is not on the curve, and when there is a private key in it.
Result<PublicKey> PublicKeyFromJwk(const nlohmann::json& jwk);

// RFC 7638 with SHA-256, as base64url: the same for the same key, whoever computes it.
Result<std::string> JwkThumbprint(const JwkMembers& members);

}  // namespace lanyard
