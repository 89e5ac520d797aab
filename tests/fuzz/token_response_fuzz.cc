// What a client of the Workload API is sent about tokens: an answer is believed exactly when its parts belong together,
// as in workload_response_fuzz.cc. The raw bytes are read as whole answers, and as the JWK Set and the private JWK in
// one.
#include <vector>

#include "pki/jwk_private.h"
#include "pki/jwk_set.h"
#include "pki/token_signer.h"
#include "tests/fuzz/fuzzing.h"
#include "workload_api/client/fetched_tokens.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using TimePoint = std::chrono::system_clock::time_point;

const TimePoint kNow{seconds(1'700'000'000)};
const TimePoint kAllExpired = kNow + seconds(3600);

struct Party {
  std::string id, jwt, wit, key, key_set;

  static Party Make(const std::string& domain) {
    const TrustDomain trust_domain = TrustDomain::Parse(domain).value();
    const SpiffeId id = SpiffeId::FromTrustDomainAndPath(trust_domain, "/bot").value();
    const TokenSigner signer = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
    const JwtSvid jwt = JwtSvid::Issue(signer, {.id = id,
                                                .audiences = {"reports", "billing"},
                                                .issued_at = kNow - seconds(10),
                                                .expires = kNow + seconds(300),
                                                .issuer = {}})
                            .value();
    const WitSvid wit = WitSvid::Issue(signer, {.id = id,
                                                .not_before = kNow - seconds(10),
                                                .issued_at = kNow - seconds(10),
                                                .expires = kNow + seconds(300)})
                            .value();
    return {id.str(), jwt.token(), wit.token(), std::string(PrivateKeyToJwk(wit.key()).value().expose()),
            WriteJwkSet({signer.authority()})};
  }
};

const std::vector<Party>& Parties() {
  static const std::vector<Party> parties = {Party::Make("example.org"), Party::Make("other.org")};
  return parties;
}

// Most often the right part of `own`, else the other's or the input's bytes.
std::string Pick(FuzzInput& input, std::string Party::*part, const Party& own, const Party& other) {
  switch (input.Number(0, 5)) {
    case 0:
      return other.*part;
    case 1:
      return input.Text(2000);
    default:
      return own.*part;
  }
}

void CheckJwtAnswer(FuzzInput& input) {
  JWTSVIDResponse response;
  bool right = true;
  for (int64_t i = input.Number(0, 2); i >= 0; --i) {
    const auto whose = static_cast<size_t>(input.Number(0, 1));
    const Party &own = Parties()[whose], &other = Parties()[1 - whose];
    JWTSVID& svid = *response.add_svids();
    svid.set_spiffe_id(Pick(input, &Party::id, own, other));
    svid.set_svid(Pick(input, &Party::jwt, own, other));
    const auto is_of = [&](const Party& party) { return svid.spiffe_id() == party.id && svid.svid() == party.jwt; };
    right = right && (is_of(own) || is_of(other));
  }
  const std::string audience = input.Flag() ? input.Text(20) : "billing";
  right = right && (audience == "billing" || audience == "reports");
  const auto svids = CheckJwtSvids(response, {"reports", audience}, kNow);
  if (!svids.ok()) {
    Require(!right);
    return RequireTold(svids.status());
  }
  // The input's bytes may be a token of nobody here: its signature is judged by whom it is shown
  Require(svids->size() == static_cast<size_t>(response.svids_size()));
  for (const FetchedJwtSvid& one : *svids) Require(one.svid.expires() > kNow);
  if (right) Require(!CheckJwtSvids(response, {"reports"}, kAllExpired).ok());
}

void CheckWitAnswer(FuzzInput& input) {
  WITSVIDResponse response;
  bool right = true;
  for (int64_t i = input.Number(0, 1); i >= 0; --i) {
    const auto whose = static_cast<size_t>(input.Number(0, 1));
    const Party &own = Parties()[whose], &other = Parties()[1 - whose];
    WITSVID& svid = *response.add_svids();
    svid.set_spiffe_id(Pick(input, &Party::id, own, other));
    svid.set_wit_svid(Pick(input, &Party::wit, own, other));
    svid.set_wit_svid_key(Pick(input, &Party::key, own, other));
    const auto is_of = [&](const Party& party) {
      return svid.spiffe_id() == party.id && svid.wit_svid() == party.wit && svid.wit_svid_key() == party.key;
    };
    right = right && (is_of(own) || is_of(other));
  }
  const auto svids = CheckWitSvids(response, kNow);
  if (!svids.ok()) {
    Require(!right);
    return RequireTold(svids.status());
  }
  for (const FetchedWitSvid& one : *svids) {
    const auto token = WitToken::ParseUnverified(one.svid.token());
    Require(token.ok() && token->key().SameAs(one.svid.key().public_key()) && token->expires() > kNow);
  }
  if (right) Require(!CheckWitSvids(response, kAllExpired).ok());
}

void CheckBundleAnswers(FuzzInput& input) {
  JWTBundlesResponse jwt;
  WITBundlesResponse wit;
  const Party &own = Parties()[0], &other = Parties()[1];
  const std::string id = input.Flag() ? input.Text(100) : "spiffe://example.org";
  const std::string keys = Pick(input, &Party::key_set, own, other);
  (*jwt.mutable_bundles())[id] = keys;
  (*wit.mutable_bundles())[id] = keys;
  const bool right = TrustDomain::Parse(id).ok() && (keys == own.key_set || keys == other.key_set);
  const auto jwt_set = CheckJwtBundles(jwt);
  const auto wit_set = CheckWitBundles(wit);
  Require(!right || (jwt_set.ok() && wit_set.ok()));
  if (jwt_set.ok()) Require(jwt_set->all().begin()->second.wit_authorities().empty());
  if (wit_set.ok()) Require(wit_set->all().begin()->second.jwt_authorities().empty());
  if (!jwt_set.ok()) RequireTold(jwt_set.status(), StatusCode::kInvalidArgument);
}

// What is accepted is written again as the same.
void CheckKeys(std::string_view bytes) {
  const auto set = ParseJwkSet(bytes, kJwtUse);
  if (set.ok()) {
    const auto again = ParseJwkSet(WriteJwkSet(*set), kJwtUse);
    Require(again.ok() && *again == *set);
  } else {
    RequireTold(set.status(), StatusCode::kInvalidArgument);
  }
  const auto key = PrivateKeyFromJwk(bytes);
  if (!key.ok()) return RequireTold(key.status());
  const auto again = PrivateKeyFromJwk(PrivateKeyToJwk(*key).value().expose());
  Require(again.ok() && again->public_key().SameAs(key->public_key()));
}

void CheckRaw(std::string_view bytes) {
  JWTSVIDResponse jwt;
  if (jwt.ParseFromString(std::string(bytes))) static_cast<void>(CheckJwtSvids(jwt, {"reports"}, kNow).ok());
  WITSVIDResponse wit;
  if (wit.ParseFromString(std::string(bytes))) static_cast<void>(CheckWitSvids(wit, kNow).ok());
  JWTBundlesResponse bundles;
  if (bundles.ParseFromString(std::string(bytes))) {
    const auto set = CheckJwtBundles(bundles);
    Require(!set.ok() || (!set->all().empty() && set->all().size() <= static_cast<size_t>(bundles.bundles().size())));
  }
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = lanyard::AsText(data, size);
  lanyard::CheckRaw(bytes);
  lanyard::CheckKeys(bytes);
  lanyard::FuzzInput input(data, size);
  lanyard::CheckJwtAnswer(input);
  lanyard::CheckWitAnswer(input);
  lanyard::CheckBundleAnswers(input);
  return 0;
}
