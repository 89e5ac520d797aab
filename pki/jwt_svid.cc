#include "pki/jwt_svid.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "pki/jws.h"
#include "pki/strict_json.h"
#include "pki/token_claims.h"
#include "pki/token_signer.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

// RFC 7519 §4.1.3: one string, or an array of strings.
Result<std::vector<std::string>> AudienceClaim(const nlohmann::json& claims) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return Wrong("\"aud\" is missing");
  if (found->is_string()) return std::vector<std::string>{found->get<std::string>()};
  if (!found->is_array()) return Wrong("\"aud\" is neither a string nor an array");
  std::vector<std::string> audiences;
  for (const nlohmann::json& one : *found) {
    if (!one.is_string()) return Wrong("\"aud\" has a value that is not a string");
    audiences.push_back(one.get<std::string>());
  }
  // JWT-SVID §3.2: one or more values
  if (audiences.empty()) return Wrong("\"aud\" is empty");
  return audiences;
}

Status CheckRequest(const JwtSvidRequest& request) {
  if (request.id.path().empty()) return Wrong("{} has no path: it is nobody's", request.id.str());
  if (request.audiences.empty()) return Wrong("no audience");
  for (const std::string& audience : request.audiences) {
    if (audience.empty() || !IsUtf8(audience)) return Wrong("an audience is empty or not UTF-8");
  }
  if (!IsUtf8(request.issuer)) return Wrong("the issuer is not UTF-8");
  if (request.issued_at < JwtSvid::TimePoint() || request.expires - request.issued_at < seconds(1)) {
    return Wrong("it would end before it begins");
  }
  return OkStatus();
}

}  // namespace

struct JwtSvid::Parsed {
  Jws jws;
  JwtSvid svid;
  std::optional<TimePoint> not_before, issued_at;
};

Result<JwtSvid> JwtSvid::Issue(const TokenSigner& signer, const JwtSvidRequest& request) {
  const auto failed = [&](const Status& why) { return Annotate(why, "issue a JWT-SVID of {}", request.id.str()); };
  if (Status status = CheckRequest(request); !status.ok()) return failed(status);
  const std::optional<TimePoint> end = signer.authority().not_after();
  const TimePoint expires = std::chrono::floor<seconds>(end ? std::min(*end, request.expires) : request.expires);
  if (expires <= request.issued_at) {
    return failed(Error(StatusCode::kFailedPrecondition, "the key that signs it is not valid any more"));
  }
  Result<std::string> token_id = RandomTokenId();
  if (!token_id.ok()) return failed(token_id.status());
  nlohmann::ordered_json claims;
  claims["sub"] = request.id.str();
  claims["aud"] = request.audiences;
  claims["exp"] = NumericDate(expires);
  claims["iat"] = NumericDate(request.issued_at);
  claims["jti"] = *token_id;
  if (!request.issuer.empty()) claims["iss"] = request.issuer;
  std::string json = claims.dump();
  Result<std::string> token = signer.Sign("JWT", json);
  if (!token.ok()) return failed(token.status());
  return JwtSvid(std::make_shared<const State>(State{.token = *std::move(token),
                                                     .id = request.id,
                                                     .audiences = request.audiences,
                                                     .expires = expires,
                                                     .key_id = signer.authority().key_id(),
                                                     .token_id = *std::move(token_id),
                                                     .claims = std::move(json)}));
}

Result<JwtSvid::Parsed> JwtSvid::Read(std::string_view token) {
  ASSIGN_OR_RETURN(Jws jws, Jws::Parse(token));
  // JWT-SVID §2.3; a WIT-SVID, which is no bearer token, is told apart by it, too
  if (jws.type().has_value() && *jws.type() != "JWT" && *jws.type() != "JOSE") {
    return Wrong("\"typ\" is neither JWT nor JOSE");
  }
  if (!jws.key_id().has_value() || jws.key_id()->empty()) return Wrong("\"kid\" is missing");
  ASSIGN_OR_RETURN(const nlohmann::json claims, ReadClaims(jws));
  ASSIGN_OR_RETURN(SpiffeId id, SubjectClaim(claims));
  ASSIGN_OR_RETURN(std::vector<std::string> audiences, AudienceClaim(claims));
  ASSIGN_OR_RETURN(const TimePoint expires, ExpiryClaim(claims));
  ASSIGN_OR_RETURN(const std::optional<TimePoint> not_before, DateClaim(claims, "nbf", Rounding::kUp));
  ASSIGN_OR_RETURN(const std::optional<TimePoint> issued_at, DateClaim(claims, "iat", Rounding::kUp));
  const std::string* token_id = StringMember(claims, "jti");
  JwtSvid svid(std::make_shared<const State>(State{.token = std::string(token),
                                                   .id = std::move(id),
                                                   .audiences = std::move(audiences),
                                                   .expires = expires,
                                                   .key_id = *jws.key_id(),
                                                   .token_id = token_id != nullptr ? *token_id : "",
                                                   .claims = jws.payload()}));
  return Parsed{std::move(jws), std::move(svid), not_before, issued_at};
}

Result<JwtSvid> JwtSvid::ParseUnverified(std::string_view token) {
  Result<Parsed> parsed = Read(token);
  if (!parsed.ok()) return Annotate(parsed.status(), "read JWT-SVID");
  return parsed->svid;
}

Result<JwtSvid> ValidateJwtSvid(std::string_view token, std::string_view audience, const BundleSet& bundles,
                                std::chrono::system_clock::time_point now) {
  if (audience.empty()) return Wrong("validate JWT-SVID: no audience is given");
  Result<JwtSvid::Parsed> parsed = JwtSvid::Read(token);
  if (!parsed.ok()) return Annotate(parsed.status(), "validate JWT-SVID");
  const JwtSvid& svid = parsed->svid;
  const auto refused = [&svid](std::string_view why) {
    return Error(StatusCode::kUnauthenticated, "validate JWT-SVID of {}: {}", svid.id().str(), why);
  };
  // JWT-SVID §3.2: the validator's own value is among them
  if (std::find(svid.audiences().begin(), svid.audiences().end(), audience) == svid.audiences().end()) {
    return refused("it is for other audiences");
  }
  // RFC 7519 §4.1.4: on or after "exp" it does not count
  if (svid.expires() <= now) return refused("it has expired");
  if (parsed->not_before.has_value() && *parsed->not_before > now + kTokenLeeway) return refused("it is not valid yet");
  if (parsed->issued_at.has_value() && *parsed->issued_at > now + kTokenLeeway) return refused("it is from the future");
  // Workload API §6.3: the bundle of the subject's trust domain, and no other
  const Bundle* bundle = bundles.Find(svid.id().trust_domain());
  if (bundle == nullptr) return refused("there is no bundle for its trust domain");
  const Status trusted = CheckSignedBy(parsed->jws, bundle->FindJwtAuthority(svid.key_id()), now);
  if (!trusted.ok()) return Annotate(trusted, "validate JWT-SVID of {}", svid.id().str());
  return svid;
}

}  // namespace lanyard
