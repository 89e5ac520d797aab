#include "pki/jwt_authority.h"

#include <utility>

#include "pki/jwk.h"
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
  return JwtAuthority(std::move(key_id), std::move(key), std::make_shared<const JwkMembers>(std::move(members)),
                      not_after);
}

Result<JwtAuthority> JwtAuthority::Create(PublicKey key, std::optional<TimePoint> not_after) {
  ASSIGN_OR_RETURN(const JwkMembers members, JwkMembersOf(key));
  ASSIGN_OR_RETURN(std::string key_id, JwkThumbprint(members));
  return Create(std::move(key_id), std::move(key), not_after);
}

bool operator==(const JwtAuthority& a, const JwtAuthority& b) {
  return a.key_id_ == b.key_id_ && *a.members_ == *b.members_ && a.not_after_ == b.not_after_;
}

}  // namespace lanyard
