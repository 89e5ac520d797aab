#include "pki/wit_svid.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "pki/jwk.h"
#include "pki/jws.h"
#include "pki/strict_json.h"
#include "pki/token_claims.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr std::string_view kType = "wit+jwt";

struct Confirmation {
  PublicKey key;
  JwsAlgorithm algorithm;
};

// WIT-SVID §3.2, RFC 7800 §3.2
Result<Confirmation> ReadConfirmation(const nlohmann::json& claims) {
  const auto cnf = claims.find("cnf");
  if (cnf == claims.end() || !cnf->is_object()) return Wrong("\"cnf\" is missing or not an object");
  const auto jwk = cnf->find("jwk");
  if (jwk == cnf->end() || !jwk->is_object()) return Wrong("\"jwk\" in \"cnf\" is missing or not an object");
  const auto failed = [](const Status& why) { return Annotate(why, "\"jwk\" in \"cnf\""); };
  const std::string* alg = StringMember(*jwk, "alg");
  if (alg == nullptr) return failed(Wrong("\"alg\" is missing or not a string"));
  Result<JwsAlgorithm> algorithm = ParseJwsAlgorithm(*alg);
  if (!algorithm.ok()) return failed(algorithm.status());
  Result<PublicKey> key = PublicKeyFromJwk(*jwk);
  if (!key.ok()) return failed(key.status());
  if (Status fits = CheckKeyFits(*algorithm, *key); !fits.ok()) return failed(fits);
  return Confirmation{*std::move(key), *algorithm};
}

Status CheckRequest(const WitSvidRequest& request) {
  if (request.id.path().empty()) return Wrong("{} has no path: it is nobody's", request.id.str());
  if (request.not_before < WitSvid::TimePoint() || request.issued_at < request.not_before ||
      request.expires - request.issued_at < seconds(1)) {
    return Wrong("it would end before it begins");
  }
  return OkStatus();
}

Result<nlohmann::ordered_json> ConfirmationOf(const PrivateKey& key) {
  ASSIGN_OR_RETURN(const JwkMembers members, JwkMembersOf(key.public_key()));
  nlohmann::ordered_json cnf;
  cnf["jwk"]["alg"] = JwsAlgorithmName(JwsAlgorithmFor(key.type()));
  members.PutInto(cnf["jwk"]);
  return cnf;
}

}  // namespace

struct WitToken::Parsed {
  Jws jws;
  WitToken token;
  std::optional<TimePoint> not_before;
};

Result<WitToken::Parsed> WitToken::Read(std::string_view token) {
  ASSIGN_OR_RETURN(Jws jws, Jws::Parse(token));
  if (jws.type() != kType) return Wrong("\"typ\" is not {}", kType);                           // §2.2
  if (!jws.key_id().has_value() || jws.key_id()->empty()) return Wrong("\"kid\" is missing");  // §2.1
  ASSIGN_OR_RETURN(const nlohmann::json claims, ReadClaims(jws));
  ASSIGN_OR_RETURN(SpiffeId id, SubjectClaim(claims));             // §3.1
  ASSIGN_OR_RETURN(const TimePoint expires, ExpiryClaim(claims));  // §3.3
  ASSIGN_OR_RETURN(const std::optional<TimePoint> not_before, DateClaim(claims, "nbf", Rounding::kUp));
  ASSIGN_OR_RETURN(Confirmation confirmation, ReadConfirmation(claims));
  // It is for whoever asks for the proof; one with an audience was made to be shown without
  if (claims.contains("aud")) return Wrong("\"aud\" is there, which a WIT-SVID does not have");
  const std::string* token_id = StringMember(claims, "jti");
  WitToken made(std::make_shared<const State>(State{.token = std::string(token),
                                                    .id = std::move(id),
                                                    .expires = expires,
                                                    .key_id = *jws.key_id(),
                                                    .token_id = token_id != nullptr ? *token_id : "",
                                                    .key = std::move(confirmation.key),
                                                    .key_algorithm = confirmation.algorithm}));
  return Parsed{std::move(jws), std::move(made), not_before};
}

Result<WitToken> WitToken::ParseUnverified(std::string_view token) {
  Result<Parsed> parsed = Read(token);
  if (!parsed.ok()) return Annotate(parsed.status(), "read WIT-SVID");
  return parsed->token;
}

Result<WitToken> ValidateWitToken(std::string_view token, const BundleSet& bundles,
                                  std::chrono::system_clock::time_point now) {
  Result<WitToken::Parsed> parsed = WitToken::Read(token);
  if (!parsed.ok()) return Annotate(parsed.status(), "validate WIT-SVID");
  const WitToken& wit = parsed->token;
  const auto refused = [&wit](std::string_view why) {
    return Error(StatusCode::kUnauthenticated, "validate WIT-SVID of {}: {}", wit.id().str(), why);
  };
  if (wit.expires() <= now) return refused("it has expired");  // §3.3
  // §3.5, without leeway: who issues puts it a little into the past. "iat" says nothing about that (§3.6)
  if (parsed->not_before.has_value() && *parsed->not_before > now) return refused("it is not valid yet");
  const Bundle* bundle = bundles.Find(wit.id().trust_domain());
  if (bundle == nullptr) return refused("there is no bundle for its trust domain");
  const Status trusted = CheckSignedBy(parsed->jws, bundle->FindWitAuthority(wit.key_id()), now);
  if (!trusted.ok()) return Annotate(trusted, "validate WIT-SVID of {}", wit.id().str());
  return wit;
}

Result<WitSvid> WitSvid::Issue(const TokenSigner& signer, const WitSvidRequest& request) {
  const auto failed = [&](const Status& why) { return Annotate(why, "issue a WIT-SVID of {}", request.id.str()); };
  if (Status status = CheckRequest(request); !status.ok()) return failed(status);
  const std::optional<TimePoint> end = signer.authority().not_after();
  const TimePoint expires = end ? std::min(*end, request.expires) : request.expires;
  if (std::chrono::floor<seconds>(expires) <= request.issued_at) {
    return failed(Error(StatusCode::kFailedPrecondition, "the key that signs it is not valid any more"));
  }
  Result<PrivateKey> key = PrivateKey::Generate(request.key_type);
  if (!key.ok()) return failed(key.status());
  Result<nlohmann::ordered_json> cnf = ConfirmationOf(*key);
  if (!cnf.ok()) return failed(cnf.status());
  Result<std::string> token_id = RandomTokenId();
  if (!token_id.ok()) return failed(token_id.status());
  nlohmann::ordered_json claims;
  claims["sub"] = request.id.str();
  claims["cnf"] = *std::move(cnf);
  claims["exp"] = NumericDate(expires);
  claims["nbf"] = NumericDate(request.not_before);
  claims["iat"] = NumericDate(request.issued_at);
  claims["jti"] = *std::move(token_id);
  Result<std::string> token = signer.Sign(kType, claims.dump());
  if (!token.ok()) return failed(token.status());
  Result<WitSvid> svid = Create(*token, *std::move(key));
  if (!svid.ok()) return failed(svid.status());
  return svid;
}

Result<WitSvid> WitSvid::Create(std::string_view token, PrivateKey key) {
  ASSIGN_OR_RETURN(WitToken read, WitToken::ParseUnverified(token));
  if (!read.key().SameAs(key.public_key())) {
    return Error(StatusCode::kInvalidArgument, "the private key is not the one that the WIT-SVID of {} names",
                 read.id().str());
  }
  return WitSvid(std::make_shared<const State>(State{std::move(read), std::move(key)}));
}

}  // namespace lanyard
