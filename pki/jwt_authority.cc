#include "pki/jwt_authority.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "pki/strict_json.h"

namespace lanyard {
namespace {

constexpr std::size_t kMaxKeyIdBytes = 1024;

}  // namespace

Result<JwtAuthority> JwtAuthority::Create(std::string key_id, PublicKey key, std::optional<TimePoint> not_after) {
  if (key_id.empty()) return Error(StatusCode::kInvalidArgument, "its key ID is empty");
  if (key_id.size() > kMaxKeyIdBytes || !IsUtf8(key_id)) {
    return Error(StatusCode::kInvalidArgument, "its key ID is longer than {} bytes, or not UTF-8", kMaxKeyIdBytes);
  }
  RETURN_IF_ERROR(JwkKindOf(key).status());
  ASSIGN_OR_RETURN(JwkMembers members, JwkMembersOf(key));
  return JwtAuthority(std::move(key_id), std::move(key), std::move(members), not_after);
}

Result<JwtAuthority> JwtAuthority::Create(PublicKey key, std::optional<TimePoint> not_after) {
  ASSIGN_OR_RETURN(const JwkMembers members, JwkMembersOf(key));
  ASSIGN_OR_RETURN(std::string key_id, JwkThumbprint(members));
  return Create(std::move(key_id), std::move(key), not_after);
}

Result<JwtAuthority> JwtAuthority::FromJwk(const nlohmann::json& entry) {
  const std::string* key_id = StringMember(entry, "kid");
  if (key_id == nullptr) return Error(StatusCode::kInvalidArgument, "\"kid\" is missing or not a string");
  ASSIGN_OR_RETURN(PublicKey key, PublicKeyFromJwk(entry));
  return Create(*key_id, std::move(key));
}

nlohmann::ordered_json JwtAuthority::ToJwk(std::string_view use) const {
  nlohmann::ordered_json entry;
  if (!use.empty()) entry["use"] = use;
  entry["kid"] = key_id_;
  members_.PutInto(entry);
  return entry;
}

}  // namespace lanyard
