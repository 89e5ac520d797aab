#include "workload_api/client/fetched_tokens.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "node_agent/base/printable.h"
#include "node_agent/base/utc.h"
#include "pki/jwk_private.h"
#include "pki/jwk_set.h"
#include "workload_api/client/fetched_bundles.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

using SystemTime = std::chrono::system_clock::time_point;

Status CheckClaims(const std::string& said, const SpiffeId& id, SystemTime expires, SystemTime now) {
  ASSIGN_OR_RETURN(const SpiffeId expected, SpiffeId::Parse(said));
  if (id != expected) return Error(StatusCode::kInvalidArgument, "the token is for {}", id.str());
  if (expires <= now) return Error(StatusCode::kInvalidArgument, "it expired at {}", Utc(expires));
  return OkStatus();
}

Result<FetchedJwtSvid> ReadSvid(const JWTSVID& message, const std::vector<std::string>& audiences, SystemTime now) {
  ASSIGN_OR_RETURN(JwtSvid svid, JwtSvid::ParseUnverified(message.svid()));
  RETURN_IF_ERROR(CheckClaims(message.spiffe_id(), svid.id(), svid.expires(), now));
  for (const std::string& audience : audiences) {
    if (std::find(svid.audiences().begin(), svid.audiences().end(), audience) == svid.audiences().end()) {
      return Error(StatusCode::kInvalidArgument, "the token is not for \"{}\"", Printable(audience));
    }
  }
  return FetchedJwtSvid{std::move(svid), message.hint()};
}

Result<FetchedWitSvid> ReadSvid(const WITSVID& message, SystemTime now) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKeyFromJwk(message.wit_svid_key()));
  ASSIGN_OR_RETURN(WitSvid svid, WitSvid::Create(message.wit_svid(), std::move(key)));
  RETURN_IF_ERROR(CheckClaims(message.spiffe_id(), svid.id(), svid.expires(), now));
  return FetchedWitSvid{std::move(svid), message.hint()};
}

// Each SVID of the answer as `read` makes it of its message.
template <class Response, class Read>
auto ReadSvids(const Response& response, Read read)
    -> Result<std::vector<typename decltype(read(response.svids(0)))::value_type>> {
  if (response.svids().empty()) return Error(StatusCode::kInvalidArgument, "the agent's answer has no SVID in it");
  std::vector<typename decltype(read(response.svids(0)))::value_type> svids;
  for (const auto& message : response.svids()) {
    auto svid = read(message);
    if (!svid.ok()) return Annotate(svid.status(), "the agent's answer: SVID \"{}\"", Printable(message.spiffe_id()));
    svids.push_back(*std::move(svid));
  }
  return svids;
}

}  // namespace

Result<std::vector<FetchedJwtSvid>> CheckJwtSvids(const JWTSVIDResponse& response,
                                                  const std::vector<std::string>& audiences, SystemTime now) {
  return ReadSvids(response, [&](const JWTSVID& message) { return ReadSvid(message, audiences, now); });
}

Result<std::vector<FetchedWitSvid>> CheckWitSvids(const WITSVIDResponse& response, SystemTime now) {
  return ReadSvids(response, [&](const WITSVID& message) { return ReadSvid(message, now); });
}

Result<BundleSet> CheckJwtBundles(const JWTBundlesResponse& response) {
  return ReadBundleAnswer(response.bundles(),
                          [](const TrustDomain& trust_domain, std::string_view keys) -> Result<Bundle> {
                            ASSIGN_OR_RETURN(std::vector<JwtAuthority> jwt, ParseJwkSet(keys, kJwtUse));
                            return Bundle::Create(trust_domain, {}, {}, {.jwt = std::move(jwt), .wit = {}});
                          });
}

Result<BundleSet> CheckWitBundles(const WITBundlesResponse& response) {
  return ReadBundleAnswer(response.bundles(),
                          [](const TrustDomain& trust_domain, std::string_view keys) -> Result<Bundle> {
                            ASSIGN_OR_RETURN(std::vector<JwtAuthority> wit, ParseJwkSet(keys, kWitUse));
                            return Bundle::Create(trust_domain, {}, {}, {.jwt = {}, .wit = std::move(wit)});
                          });
}

}  // namespace lanyard
