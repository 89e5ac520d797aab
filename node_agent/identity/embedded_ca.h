// Signs SVIDs on this node with whatever authority its keeper has installed.
//
// The authority is an immutable snapshot (issuer and bundle) that a keeper replaces: RootKeeper for self-signed roots,
// IntermediateKeeper for a given issuer. Signing happens in the pool with the snapshot of the moment of asking.
//
// A leaf begins kLeafBackdate before now, so that a verifier whose clock is a little behind accepts it, and ends at now
// + ttl or with its issuer, whichever is earlier. Before a leaf lives longer than any before it, the lifetime guard is
// asked: RootKeeper uses it to put on disk how long a retired root has to stay in the bundle.
//
// Thread: loop. Fails closed: without an authority every ask is answered Unavailable, with the reason.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/identity/identity_source.h"
#include "pki/issuer.h"

namespace lanyard {

inline constexpr std::chrono::seconds kLeafBackdate{10};

struct SigningState {
  Issuer issuer;
  Bundle bundle;
};

class EmbeddedCa final : public IdentitySource {
 public:
  // Asked before a leaf of `lifetime` is signed; calls `done` with OK once such a leaf may be handed out, at once or
  // later.
  using LifetimeGuard =
      absl::AnyInvocable<void(std::chrono::seconds lifetime, absl::AnyInvocable<void(Status) &&> done)>;

  EmbeddedCa(EventLoop& loop, const Clock& clock);

  void Issue(IssueRequest request, IssueDone done) override;
  std::shared_ptr<const Bundle> bundle() const override;
  void OnBundleChange(Listener listener) override { bundle_listeners_.push_back(std::move(listener)); }
  void OnSignerChange(Listener listener) override { signer_listeners_.push_back(std::move(listener)); }
  HealthReport health() const override;

  // For the keeper. From now on `state` signs; listeners hear what changed, before Install returns.
  void Install(SigningState state);
  // Nothing signs any more, because of `why`; the bundle stays, since SVIDs that were issued still count.
  void Withdraw(Status why);
  void SetLifetimeGuard(LifetimeGuard guard) { lifetime_guard_ = std::move(guard); }
  // Put into health(); the keeper knows more about the authority than its signer does.
  void SetHealth(HealthReport report) { health_ = std::move(report); }

  // The latest end of any leaf signed or being signed by the current authority; nothing if it has signed none.
  std::optional<WallTime> latest_leaf_end() const { return latest_leaf_end_; }

 private:
  void Sign(IssueRequest request, IssueDone done);
  void AnswerLater(Status status, IssueDone done);

  EventLoop& loop_;
  const Clock& clock_;
  std::shared_ptr<const SigningState> state_;
  std::shared_ptr<const Bundle> bundle_;
  Status why_not_ready_;
  LifetimeGuard lifetime_guard_;
  HealthReport health_;
  std::optional<WallTime> latest_leaf_end_;
  std::vector<Listener> bundle_listeners_;
  std::vector<Listener> signer_listeners_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
