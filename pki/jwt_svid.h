// JWT-SVIDs: tokens that say for a short time, and to certain audiences only, who a workload is.
//
// Built only by factories that check the profile of JWT-SVID
// (https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md), so that whatever Lanyard hands out is something
// it would accept itself. Whoever holds the token can use it: it is a credential and is never logged.
//
// Thread: any; copies share one immutable object.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/spiffe_id.h"

namespace lanyard {

class TokenSigner;  // pki/token_signer.h

// How far another's clock may be ahead of ours when it says "not before" or "issued at". For "exp" there is no leeway.
inline constexpr std::chrono::seconds kTokenLeeway{60};

struct JwtSvidRequest {
  SpiffeId id;
  std::vector<std::string> audiences;                            // in this order; at least one
  std::chrono::system_clock::time_point issued_at{}, expires{};  // fractions of a second are cut off
  std::string issuer;                                            // "iss"; left out if empty
};

class JwtSvid {
 public:
  using TimePoint = std::chrono::system_clock::time_point;

  // Says sub, aud, exp, iat and jti, and iss where one is given. InvalidArgument if the ID has no path, an audience is
  // missing, empty or no text, or the times make no sense; FailedPrecondition if the key's own time is over. It never
  // outlives the key.
  static Result<JwtSvid> Issue(const TokenSigner& signer, const JwtSvidRequest& request);

  // The profile alone, for whoever got the token from somebody it trusts: nothing is said about its signature or its
  // time. InvalidArgument names the broken rule.
  static Result<JwtSvid> ParseUnverified(std::string_view token);

  const std::string& token() const { return state_->token; }
  const SpiffeId& id() const { return state_->id; }
  const std::vector<std::string>& audiences() const { return state_->audiences; }
  TimePoint expires() const { return state_->expires; }
  const std::string& key_id() const { return state_->key_id; }
  const std::string& token_id() const { return state_->token_id; }  // "jti"; empty if it has none
  // All claims, as one JSON object without a name that stands twice.
  const std::string& claims() const { return state_->claims; }

 private:
  struct State {
    std::string token;
    SpiffeId id;
    std::vector<std::string> audiences;
    TimePoint expires;
    std::string key_id, token_id, claims;
  };
  explicit JwtSvid(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  struct Parsed;
  static Result<Parsed> Read(std::string_view token);
  friend Result<JwtSvid> ValidateJwtSvid(std::string_view, std::string_view, const BundleSet&, TimePoint);

  std::shared_ptr<const State> state_;
};

// The SVID if `token` is one for `audience`, is within its time at `now`, and is signed by a key for JWT-SVIDs of its
// own trust domain (JWT-SVID §4, Workload API §6.3). InvalidArgument: it is no JWT-SVID. Unauthenticated: it is one,
// but does not count here and now.
Result<JwtSvid> ValidateJwtSvid(std::string_view token, std::string_view audience, const BundleSet& bundles,
                                std::chrono::system_clock::time_point now);

}  // namespace lanyard
