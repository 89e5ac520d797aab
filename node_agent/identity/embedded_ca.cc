#include "node_agent/identity/embedded_ca.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

void Tell(std::vector<IdentitySource::Listener>& listeners) {
  // By index: a listener may add another.
  for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i]();
}

}  // namespace

EmbeddedCa::EmbeddedCa(EventLoop& loop, const Clock& clock)
    : loop_(loop), clock_(clock), why_not_ready_(Error(StatusCode::kUnavailable, "the embedded CA is not ready")) {}

void EmbeddedCa::Issue(IssueRequest request, IssueDone done) {
  if (!lifetime_guard_) return Sign(std::move(request), std::move(done));
  const std::chrono::seconds lifetime = request.ttl;
  lifetime_guard_(lifetime, [this, alive = std::weak_ptr<void>(alive_), request = std::move(request),
                             done = std::move(done)](Status covered) mutable {
    if (alive.expired()) return;
    if (!covered.ok()) return AnswerLater(Annotate(covered, "issue {}", request.entry->id.str()), std::move(done));
    Sign(std::move(request), std::move(done));
  });
}

void EmbeddedCa::Sign(IssueRequest request, IssueDone done) {
  const WallTime now = clock_.WallNow();
  Status refused = why_not_ready_;
  if (refused.ok() && request.ttl <= std::chrono::seconds(0)) {
    refused = Error(StatusCode::kInvalidArgument, "a lifetime of {} s", request.ttl.count());
  }
  if (refused.ok() && state_->issuer.not_after() <= now) {
    refused = Error(StatusCode::kUnavailable, "the signing authority has expired");
  }
  if (refused.ok() && now < state_->issuer.certificate().not_before()) {
    refused = Error(StatusCode::kUnavailable, "by the wall clock the signing authority is not valid yet");
  }
  if (!refused.ok()) return AnswerLater(Annotate(refused, "issue {}", request.entry->id.str()), std::move(done));

  LeafRequest leaf{.id = request.entry->id,
                   .key_type = request.key_type,
                   .dns_names = request.entry->dns_names,
                   .not_before = now - kLeafBackdate,
                   .not_after = now + request.ttl};
  const WallTime end = std::min<WallTime>(leaf.not_after, state_->issuer.not_after());
  if (!latest_leaf_end_ || *latest_leaf_end_ < end) latest_leaf_end_ = end;
  loop_.ComputeInPool([state = state_, leaf = std::move(leaf)] { return state->issuer.IssueLeaf(leaf); },
                      [alive = std::weak_ptr<void>(alive_), done = std::move(done)](Result<X509Svid> svid) mutable {
                        if (!alive.expired()) std::move(done)(std::move(svid));
                      });
}

void EmbeddedCa::AnswerLater(Status status, IssueDone done) {
  loop_.Post([alive = std::weak_ptr<void>(alive_), status = std::move(status), done = std::move(done)]() mutable {
    if (!alive.expired()) std::move(done)(std::move(status));
  });
}

std::shared_ptr<const Bundle> EmbeddedCa::bundle() const {
  return bundle_;
}

HealthReport EmbeddedCa::health() const {
  if (!why_not_ready_.ok())
    return {HealthLevel::kBroken, "Nothing can be signed: " + std::string(Message(why_not_ready_)) + "."};
  return health_;
}

void EmbeddedCa::Install(SigningState state) {
  const bool new_bundle = !bundle_ || !bundle_->SameAuthorities(state.bundle);
  const bool new_signer =
      !state_ || !why_not_ready_.ok() || !(state_->issuer.certificate() == state.issuer.certificate());
  if (new_bundle) bundle_ = std::make_shared<const Bundle>(state.bundle);
  state_ = std::make_shared<const SigningState>(std::move(state));
  why_not_ready_ = OkStatus();
  if (new_signer) latest_leaf_end_.reset();
  if (new_bundle) Tell(bundle_listeners_);
  if (new_signer) Tell(signer_listeners_);
}

void EmbeddedCa::Withdraw(Status why) {
  why_not_ready_ = std::move(why);
}

}  // namespace lanyard
