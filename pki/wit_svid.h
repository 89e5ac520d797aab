// WIT-SVIDs: tokens that say which key is a workload's, and the key that goes with one.
//
// Follows WIT-SVID (https://github.com/spiffe/spiffe/blob/main/standards/WIT-SVID.md). Unlike a JWT-SVID such a token
// is for no audience and proves nothing alone: whoever presents it has to prove that it holds the key in it (§5), and
// whoever is shown one has to ask for that proof, which is not done here.
//
// Thread: any; copies share one immutable object.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/jws_algorithm.h"
#include "pki/key.h"
#include "pki/spiffe_id.h"
#include "pki/token_signer.h"

namespace lanyard {

// A token that follows the profile, whoever signed it.
class WitToken {
 public:
  using TimePoint = std::chrono::system_clock::time_point;

  // The profile alone: nothing is said about its signature or its time. InvalidArgument names the broken rule.
  static Result<WitToken> ParseUnverified(std::string_view token);

  const std::string& token() const { return state_->token; }
  const SpiffeId& id() const { return state_->id; }
  TimePoint expires() const { return state_->expires; }
  const std::string& key_id() const { return state_->key_id; }
  const std::string& token_id() const { return state_->token_id; }  // "jti"; empty if it has none
  const PublicKey& key() const { return state_->key; }              // the workload's, "cnf"
  JwsAlgorithm key_algorithm() const { return state_->key_algorithm; }

 private:
  struct State {
    std::string token;
    SpiffeId id;
    TimePoint expires;
    std::string key_id, token_id;
    PublicKey key;
    JwsAlgorithm key_algorithm;
  };
  explicit WitToken(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  struct Parsed;
  static Result<Parsed> Read(std::string_view token);
  friend Result<WitToken> ValidateWitToken(std::string_view, const BundleSet&, TimePoint);

  std::shared_ptr<const State> state_;
};

// The token if it is within its time at `now` and signed by a key for WIT-SVIDs of its own trust domain. Its bearer is
// not known to be its owner! InvalidArgument: it is no WIT-SVID. Unauthenticated: it is one, but does not count.
Result<WitToken> ValidateWitToken(std::string_view token, const BundleSet& bundles,
                                  std::chrono::system_clock::time_point now);

struct WitSvidRequest {
  SpiffeId id;
  KeyType key_type = KeyType::kEcP256;
  // Fractions of a second are cut off.
  std::chrono::system_clock::time_point not_before{}, issued_at{}, expires{};
};

class WitSvid {
 public:
  using TimePoint = std::chrono::system_clock::time_point;

  // Makes a new key for the workload. Says sub, cnf, exp, nbf, iat and jti; never aud or iss, so that nobody takes it
  // for an ID token (§3.7). Errors as for JwtSvid::Issue. It never outlives the key that signs it.
  static Result<WitSvid> Issue(const TokenSigner& signer, const WitSvidRequest& request);
  // From a source elsewhere. The key must be the one that the token names.
  static Result<WitSvid> Create(std::string_view token, PrivateKey key);

  const std::string& token() const { return state_->token.token(); }
  const SpiffeId& id() const { return state_->token.id(); }
  TimePoint expires() const { return state_->token.expires(); }
  const std::string& key_id() const { return state_->token.key_id(); }
  const std::string& token_id() const { return state_->token.token_id(); }
  const PrivateKey& key() const { return state_->key; }

 private:
  struct State {
    WitToken token;
    PrivateKey key;
  };
  explicit WitSvid(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

}  // namespace lanyard
