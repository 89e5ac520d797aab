// A key that tokens of a trust domain are signed with, as its bundle names it: for JWT-SVIDs, or for WIT-SVIDs.
//
// Built only by factories that check everything: the key ID is there (JWT-SVID §6.1, WIT-SVID §6.1) and is text, and
// the key is of a kind that a token may be signed with.
//
// Thread: any; values, which share the key.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "node_agent/base/status.h"
#include "pki/jwk.h"
#include "pki/key.h"

namespace lanyard {

class JwtAuthority {
 public:
  using TimePoint = std::chrono::system_clock::time_point;

  // `not_after`: from then on nothing that it signed counts; bundle documents do not say it.
  static Result<JwtAuthority> Create(std::string key_id, PublicKey key, std::optional<TimePoint> not_after = {});
  // Its key ID is the key's thumbprint (RFC 7638), so that no two keys ever have the same.
  static Result<JwtAuthority> Create(PublicKey key, std::optional<TimePoint> not_after = {});
  // One entry of a JWK Set.
  static Result<JwtAuthority> FromJwk(const nlohmann::json& entry);

  const std::string& key_id() const { return key_id_; }
  const PublicKey& key() const { return key_; }
  const JwkMembers& members() const { return members_; }
  std::optional<TimePoint> not_after() const { return not_after_; }

  // Its JWK, with "use" if `use` is not empty.
  nlohmann::ordered_json ToJwk(std::string_view use) const;

  friend bool operator==(const JwtAuthority& a, const JwtAuthority& b) {
    return a.key_id_ == b.key_id_ && a.members_ == b.members_ && a.not_after_ == b.not_after_;
  }

 private:
  JwtAuthority(std::string key_id, PublicKey key, JwkMembers members, std::optional<TimePoint> not_after)
      : key_id_(std::move(key_id)), key_(std::move(key)), members_(std::move(members)), not_after_(not_after) {}

  std::string key_id_;
  PublicKey key_;
  JwkMembers members_;
  std::optional<TimePoint> not_after_;
};

}  // namespace lanyard
