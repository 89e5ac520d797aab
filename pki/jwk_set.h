// The keys for one kind of token alone as a JSON Web Key Set (RFC 7517 §5): what FetchJWTBundles and FetchWITBundles of
// the Workload API hand out for each trust domain.
//
// Without "use": its values in SPIFFE are SPIFFE's own, and libraries for JWTs skip keys whose use they do not know.
// Bundle documents, whose entries have it, are read and written by Bundle, entry by entry as here.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/jwt_authority.h"
#include "pki/strict_json.h"

namespace lanyard {

// Values of "use" in bundle documents (JWT-SVID §6.1, WIT-SVID §6.1).
inline constexpr std::string_view kJwtUse = "jwt-svid", kWitUse = "wit-svid";

// Of key sets and of bundle documents.
inline constexpr JsonLimits kJwkSetLimits{.bytes = std::size_t{4} * 1024 * 1024, .depth = 16};

// One entry. InvalidArgument when it has no key ID or no key.
Result<JwtAuthority> AuthorityFromJwk(const nlohmann::json& entry);
// With "use" if `use` is not empty.
nlohmann::ordered_json AuthorityToJwk(const JwtAuthority& authority, std::string_view use);

// The same keys always give the same bytes.
std::string WriteJwkSet(const std::vector<JwtAuthority>& authorities);

// Its keys in their order; there may be none. Entries of other types than EC and RSA are skipped (RFC 7517 §5). Where
// an entry says a use, it is `use` or "sig": the agent must not hand out keys for anything else here (Workload API
// §6.2.2). InvalidArgument otherwise, and when an entry has no key ID or no key.
Result<std::vector<JwtAuthority>> ParseJwkSet(std::string_view json, std::string_view use);

}  // namespace lanyard
