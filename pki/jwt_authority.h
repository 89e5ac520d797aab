// A key that tokens of a trust domain are signed with, as its bundle names it: for JWT-SVIDs, or for WIT-SVIDs.
//
// Built only by factories that check everything: the key ID is there (JWT-SVID §6.1, WIT-SVID §6.1) and is text, and
// the key is of a kind that a token may be signed with.
//
// Thread: any; values, which share the key.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "node_agent/base/status.h"
#include "pki/key.h"

namespace lanyard {

struct JwkMembers;  // pki/jwk.h

class JwtAuthority {
 public:
  using TimePoint = std::chrono::system_clock::time_point;

  // `not_after`: from then on nothing that it signed counts; bundle documents do not say it.
  static Result<JwtAuthority> Create(std::string key_id, PublicKey key, std::optional<TimePoint> not_after = {});
  // Its key ID is the key's thumbprint (RFC 7638), so that no two keys ever have the same.
  static Result<JwtAuthority> Create(PublicKey key, std::optional<TimePoint> not_after = {});

  const std::string& key_id() const { return key_id_; }
  const PublicKey& key() const { return key_; }
  const JwkMembers& members() const { return *members_; }
  std::optional<TimePoint> not_after() const { return not_after_; }

  friend bool operator==(const JwtAuthority& a, const JwtAuthority& b);

 private:
  JwtAuthority(std::string key_id, PublicKey key, std::shared_ptr<const JwkMembers> members,
               std::optional<TimePoint> not_after)
      : key_id_(std::move(key_id)), key_(std::move(key)), members_(std::move(members)), not_after_(not_after) {}

  std::string key_id_;
  PublicKey key_;
  std::shared_ptr<const JwkMembers> members_;
  std::optional<TimePoint> not_after_;
};

}  // namespace lanyard
