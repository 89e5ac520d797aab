// A token that is accepted as a JWT-SVID follows the profile, by its own words, and one that is believed is one of
// those in the corpus that PyJWT signed with the key in the bundle: nothing else is, whatever is done to it.
#include "pki/jwt_svid.h"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "pki/jwk.h"
#include "pki/jws.h"
#include "pki/strict_json.h"
#include "tests/fuzz/fuzzing.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard {
namespace {

constexpr std::chrono::system_clock::time_point kNow{std::chrono::seconds(1767225600)};

const BundleSet& Bundles() {
  static const BundleSet bundles = [] {
    std::vector<JwtAuthority> keys;
    for (const testing::TokenVector& vector : testing::kTokenVectors) {
      if (vector.algorithm != std::string_view("ES256")) continue;
      keys.push_back(
          JwtAuthority::Create("other", PublicKeyFromJwk(nlohmann::json::parse(vector.jwk)).value()).value());
    }
    return BundleSet({Bundle::Create(TrustDomain::Parse("example.org").value(), {}, {}, {.jwt = keys}).value()});
  }();
  return bundles;
}

bool IsVector(std::string_view token) {
  return std::any_of(std::begin(testing::kTokenVectors), std::end(testing::kTokenVectors),
                     [&](const testing::TokenVector& vector) { return token == vector.token; });
}

void CheckProfile(const JwtSvid& svid, std::string_view token) {
  Require(svid.token() == token && !svid.key_id().empty() && !svid.audiences().empty());
  const auto jws = Jws::Parse(token);
  Require(jws.ok() && jws->payload() == svid.claims());
  Require(!jws->type().has_value() || *jws->type() == "JWT" || *jws->type() == "JOSE");
  const auto claims = nlohmann::json::parse(svid.claims(), nullptr, false);
  Require(claims.at("sub") == svid.id().str());
  Require(claims.at("aud") == svid.audiences() || claims.at("aud") == svid.audiences().front());
  const double expires = claims.at("exp").get<double>();
  const auto seconds =
      static_cast<double>(std::chrono::floor<std::chrono::seconds>(svid.expires()).time_since_epoch().count());
  constexpr double kEndOfOurClock = 9'000'000'000;  // a later date is read as that end
  Require((seconds <= expires && expires < seconds + 1) || (expires > kEndOfOurClock && seconds > kEndOfOurClock));
}

void CheckToken(std::string_view token) {
  const auto svid = JwtSvid::ParseUnverified(token);
  const auto valid = ValidateJwtSvid(token, "reports", Bundles(), kNow);
  if (!svid.ok()) {
    RequireTold(svid.status(), StatusCode::kInvalidArgument);
    return RequireTold(valid.status(), StatusCode::kInvalidArgument);
  }
  CheckProfile(*svid, token);
  if (!valid.ok()) return RequireTold(valid.status(), StatusCode::kUnauthenticated);
  Require(IsVector(token) && valid->id() == svid->id());
  Require(!ValidateJwtSvid(token, "reports", Bundles(), valid->expires()).ok());
  Require(!ValidateJwtSvid(token, "others", Bundles(), kNow).ok());
  Require(!ValidateJwtSvid(token, "reports", BundleSet(), kNow).ok());
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckToken(lanyard::AsText(data, size));
  return 0;
}
