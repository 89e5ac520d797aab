// What JWT-SVIDs and WIT-SVIDs have in common: reading claims (RFC 7519 §4.1), and what a bundle has to say to a token.
//
// Thread: any. Private to this room.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "node_agent/base/status.h"
#include "pki/jws.h"
#include "pki/jwt_authority.h"
#include "pki/spiffe_id.h"

namespace lanyard {

using TokenTime = std::chrono::system_clock::time_point;

enum class Rounding { kDown, kUp };

// A NumericDate (RFC 7519 §2), also with a fraction, which is rounded; nothing if there is none. InvalidArgument if it
// is no number, or not within the years 1970 to 9999.
Result<std::optional<TokenTime>> DateClaim(const nlohmann::json& claims, const char* name, Rounding rounding);

// The claims of a token; deeper or longer than a token can sensibly be is InvalidArgument.
Result<nlohmann::json> ReadClaims(const Jws& jws);

Result<SpiffeId> SubjectClaim(const nlohmann::json& claims);
// "exp", which every SVID has.
Result<TokenTime> ExpiryClaim(const nlohmann::json& claims);

// `key_id` names an authority that vouches for it now. `authority` is what the bundle knows under that ID, or null.
Status CheckSignedBy(const Jws& jws, const JwtAuthority* authority, TokenTime now);

// Seconds since 1970.
std::int64_t NumericDate(TokenTime time);

// 128 random bits in lower-case hexadecimal digits, for "jti" (RFC 7519 §4.1.7).
Result<std::string> RandomTokenId();

}  // namespace lanyard
