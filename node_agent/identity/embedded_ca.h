// Signs SVIDs on this node with whatever authority its keeper has installed.
//
// The authority is an immutable snapshot (issuer, keys for tokens, bundle) that a keeper replaces: RootKeeper for
// self-signed roots, IntermediateKeeper for a given issuer. Signing happens in the pool with the snapshot of the moment
// of asking.
//
// A leaf begins kLeafBackdate before now, so that a verifier whose clock is a little behind accepts it, and ends at now
// + ttl or with its issuer, whichever is earlier; so does a token, with the key that signs it. Before an SVID lives
// longer than any of its kind before it, the lifetime guard is asked: RootKeeper uses it to put on disk how long a
// retired authority has to stay in the bundle.
//
// Thread: loop. Fails closed: without an authority every ask is answered Unavailable, with the reason.
#pragma once

#include <absl/functional/any_invocable.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/identity/identity_source.h"
#include "pki/issuer.h"
#include "pki/token_signer.h"

namespace lanyard {

inline constexpr std::chrono::seconds kLeafBackdate{10};

// What signs tokens; the bundle of the same state has their public keys.
struct TokenKeys {
  std::optional<TokenSigner> jwt, wit;
  std::string why_none;  // for people, where one of them is not there
};

struct SigningState {
  Issuer issuer;
  Bundle bundle;
  TokenKeys tokens{};
};

class EmbeddedCa final : public IdentitySource {
 public:
  // Asked before an SVID of `lifetime` is signed; calls `done` with OK once such a one may be handed out, at once or
  // later.
  using LifetimeGuard =
      absl::AnyInvocable<void(SvidKind kind, std::chrono::seconds lifetime, absl::AnyInvocable<void(Status) &&> done)>;

  // `jwt_issuer`: what JWT-SVIDs say as "iss"; nothing if empty.
  EmbeddedCa(EventLoop& loop, const Clock& clock, std::string jwt_issuer = "");

  void Issue(IssueRequest request, IssueDone done) override;
  void IssueJwt(JwtRequest request, JwtDone done) override;
  void IssueWit(WitRequest request, WitDone done) override;
  std::shared_ptr<const Bundle> bundle() const override;
  void OnBundleChange(Listener listener) override { bundle_listeners_.push_back(std::move(listener)); }
  void OnSignerChange(Listener listener) override { signer_listeners_.push_back(std::move(listener)); }
  void OnTokenSignerChange(Listener listener) override { token_signer_listeners_.push_back(std::move(listener)); }
  HealthReport health() const override;

  // For the keeper. From now on `state` signs; listeners hear what changed, before Install returns.
  void Install(SigningState state);
  // Nothing signs any more, because of `why`; the bundle stays, since SVIDs that were issued still count.
  void Withdraw(Status why);
  void SetLifetimeGuard(LifetimeGuard guard) { lifetime_guard_ = std::move(guard); }
  // Put into health(); the keeper knows more about the authority than its signer does.
  void SetHealth(HealthReport report) { health_ = std::move(report); }

  // The latest end of any SVID of this kind signed or being signed by the current authority; nothing if it has signed
  // none.
  std::optional<WallTime> latest_end(SvidKind kind) const { return latest_end_[static_cast<std::size_t>(kind)]; }

 private:
  // Asks the guard, then calls `sign`.
  template <class Request, class Done>
  void Guard(SvidKind kind, Request request, Done done, void (EmbeddedCa::*sign)(Request, Done));
  void Sign(IssueRequest request, IssueDone done);
  void SignJwt(JwtRequest request, JwtDone done);
  void SignWit(WitRequest request, WitDone done);
  // Why nothing of this kind can be signed now, or OK.
  Status CheckReady(SvidKind kind, std::chrono::seconds ttl, WallTime now) const;
  void Note(SvidKind kind, WallTime end);
  template <class Done>
  void AnswerLater(Status status, Done done);
  template <class Work, class Done>
  void SignInPool(Work work, Done done);

  EventLoop& loop_;
  const Clock& clock_;
  const std::string jwt_issuer_;
  std::shared_ptr<const SigningState> state_;
  std::shared_ptr<const Bundle> bundle_;
  Status why_not_ready_;
  LifetimeGuard lifetime_guard_;
  HealthReport health_;
  std::array<std::optional<WallTime>, 3> latest_end_;
  std::vector<Listener> bundle_listeners_;
  std::vector<Listener> signer_listeners_;
  std::vector<Listener> token_signer_listeners_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
