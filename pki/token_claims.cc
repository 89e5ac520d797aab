#include "pki/token_claims.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cmath>

#include "pki/hex.h"
#include "pki/openssl_ptr.h"
#include "pki/strict_json.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

constexpr JsonLimits kClaimsLimits{.bytes = kMaxTokenBytes, .depth = 16};
constexpr double kLastSecond = 253402300799;  // of the year 9999
// Our clock's nanoseconds end in 2262: later dates become that end, as in certificates.
constexpr auto kEndOfOurClock = std::chrono::floor<std::chrono::seconds>(TokenTime::max().time_since_epoch());

}  // namespace

Result<std::optional<TokenTime>> DateClaim(const nlohmann::json& claims, const char* name, Rounding rounding) {
  const auto found = claims.find(name);
  if (found == claims.end()) return std::optional<TokenTime>();
  if (!found->is_number()) return Wrong("\"{}\" is not a number", name);
  const auto value = found->get<double>();  // exact for every whole second that passes the next line
  if (!(0 <= value && value <= kLastSecond)) return Wrong("\"{}\" is not a time from 1970 to 9999", name);
  const double whole = rounding == Rounding::kDown ? std::floor(value) : std::ceil(value);
  return std::optional<TokenTime>(
      TokenTime(std::min(std::chrono::seconds(static_cast<std::int64_t>(whole)), kEndOfOurClock)));
}

Result<nlohmann::json> ReadClaims(const Jws& jws) {
  auto claims = ParseJsonObject(jws.payload(), kClaimsLimits);
  if (!claims.ok()) return Annotate(claims.status(), "its claims");
  return claims;
}

Result<SpiffeId> SubjectClaim(const nlohmann::json& claims) {
  const std::string* subject = StringMember(claims, "sub");
  if (subject == nullptr) return Wrong("\"sub\" is missing or not a string");
  auto id = SpiffeId::Parse(*subject);
  if (!id.ok()) return Annotate(id.status(), "\"sub\"");
  return id;
}

Result<TokenTime> ExpiryClaim(const nlohmann::json& claims) {
  ASSIGN_OR_RETURN(const std::optional<TokenTime> expires, DateClaim(claims, "exp", Rounding::kDown));
  if (!expires.has_value()) return Wrong("\"exp\" is missing");
  return *expires;
}

Status CheckSignedBy(const Jws& jws, const JwtAuthority* authority, TokenTime now) {
  if (authority == nullptr) {
    return Error(StatusCode::kUnauthenticated, "its trust domain has no key with the ID that it names");
  }
  if (authority->not_after().has_value() && *authority->not_after() <= now) {
    return Error(StatusCode::kUnauthenticated, "the key that signed it is not valid any more");
  }
  const Status valid = jws.CheckSignature(authority->key());
  if (valid.ok() || valid.code() == StatusCode::kInternal) return valid;
  return Error(StatusCode::kUnauthenticated, "{}", Message(valid));
}

std::int64_t NumericDate(TokenTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

Result<std::string> RandomTokenId() {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) return OpenSslError("draw a token ID");
  return Hex({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

}  // namespace lanyard
