#include "node_agent/identity/embedded_ca.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

void Tell(std::vector<IdentitySource::Listener>& listeners) {
  // By index: a listener may add another.
  for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i]();
}

const TokenSigner* SignerOf(const SigningState& state, SvidKind kind) {
  const std::optional<TokenSigner>& signer = kind == SvidKind::kJwt ? state.tokens.jwt : state.tokens.wit;
  return signer ? &*signer : nullptr;
}

std::string KeyIdOf(const SigningState& state, SvidKind kind) {
  const TokenSigner* signer = SignerOf(state, kind);
  return signer != nullptr ? signer->authority().key_id() : "";
}

}  // namespace

std::string_view SvidKindName(SvidKind kind) {
  switch (kind) {
    case SvidKind::kX509:
      return "x509";
    case SvidKind::kJwt:
      return "jwt";
    case SvidKind::kWit:
      break;
  }
  return "wit";
}

EmbeddedCa::EmbeddedCa(EventLoop& loop, const Clock& clock, std::string jwt_issuer)
    : loop_(loop),
      clock_(clock),
      jwt_issuer_(std::move(jwt_issuer)),
      why_not_ready_(Error(StatusCode::kUnavailable, "the embedded CA is not ready")) {}

void EmbeddedCa::Issue(IssueRequest request, IssueDone done) {
  Guard(SvidKind::kX509, std::move(request), std::move(done), &EmbeddedCa::Sign);
}

void EmbeddedCa::IssueJwt(JwtRequest request, JwtDone done) {
  Guard(SvidKind::kJwt, std::move(request), std::move(done), &EmbeddedCa::SignJwt);
}

void EmbeddedCa::IssueWit(WitRequest request, WitDone done) {
  Guard(SvidKind::kWit, std::move(request), std::move(done), &EmbeddedCa::SignWit);
}

template <class Request, class Done>
void EmbeddedCa::Guard(SvidKind kind, Request request, Done done, void (EmbeddedCa::*sign)(Request, Done)) {
  if (!lifetime_guard_) return (this->*sign)(std::move(request), std::move(done));
  const std::chrono::seconds lifetime = request.ttl;
  lifetime_guard_(kind, lifetime,
                  [this, alive = std::weak_ptr<void>(alive_), sign, request = std::move(request),
                   done = std::move(done)](Status covered) mutable {
                    if (alive.expired()) return;
                    if (!covered.ok()) {
                      return AnswerLater(Annotate(covered, "issue {}", request.entry->id.str()), std::move(done));
                    }
                    (this->*sign)(std::move(request), std::move(done));
                  });
}

Status EmbeddedCa::CheckReady(SvidKind kind, std::chrono::seconds ttl, WallTime now) const {
  RETURN_IF_ERROR(why_not_ready_);
  if (ttl <= std::chrono::seconds(0)) return Error(StatusCode::kInvalidArgument, "a lifetime of {} s", ttl.count());
  if (kind == SvidKind::kX509) {
    if (state_->issuer.not_after() <= now) return Error(StatusCode::kUnavailable, "the signing authority has expired");
    if (now < state_->issuer.certificate().not_before()) {
      return Error(StatusCode::kUnavailable, "by the wall clock the signing authority is not valid yet");
    }
    return OkStatus();
  }
  const TokenSigner* signer = SignerOf(*state_, kind);
  if (signer == nullptr) return Error(StatusCode::kUnavailable, "no key signs tokens: {}", state_->tokens.why_none);
  if (signer->authority().not_after() && *signer->authority().not_after() <= now) {
    return Error(StatusCode::kUnavailable, "the key that signs tokens has expired");
  }
  return OkStatus();
}

void EmbeddedCa::Note(SvidKind kind, WallTime end) {
  std::optional<WallTime>& latest = latest_end_[static_cast<std::size_t>(kind)];
  if (!latest || *latest < end) latest = end;
}

void EmbeddedCa::Sign(IssueRequest request, IssueDone done) {
  const WallTime now = clock_.WallNow();
  if (const Status ready = CheckReady(SvidKind::kX509, request.ttl, now); !ready.ok()) {
    return AnswerLater(Annotate(ready, "issue {}", request.entry->id.str()), std::move(done));
  }
  LeafRequest leaf{.id = request.entry->id,
                   .key_type = request.key_type,
                   .dns_names = request.entry->dns_names,
                   .not_before = now - kLeafBackdate,
                   .not_after = now + request.ttl};
  Note(SvidKind::kX509, std::min<WallTime>(leaf.not_after, state_->issuer.not_after()));
  SignInPool([state = state_, leaf = std::move(leaf)] { return state->issuer.IssueLeaf(leaf); }, std::move(done));
}

void EmbeddedCa::SignJwt(JwtRequest request, JwtDone done) {
  const WallTime now = clock_.WallNow();
  if (const Status ready = CheckReady(SvidKind::kJwt, request.ttl, now); !ready.ok()) {
    return AnswerLater(Annotate(ready, "issue a JWT-SVID of {}", request.entry->id.str()), std::move(done));
  }
  JwtSvidRequest jwt{.id = request.entry->id,
                     .audiences = std::move(request.audiences),
                     .issued_at = now,
                     .expires = now + request.ttl,
                     .issuer = jwt_issuer_};
  Note(SvidKind::kJwt, jwt.expires);
  SignInPool([state = state_, jwt = std::move(jwt)] { return JwtSvid::Issue(*state->tokens.jwt, jwt); },
             std::move(done));
}

void EmbeddedCa::SignWit(WitRequest request, WitDone done) {
  const WallTime now = clock_.WallNow();
  if (const Status ready = CheckReady(SvidKind::kWit, request.ttl, now); !ready.ok()) {
    return AnswerLater(Annotate(ready, "issue a WIT-SVID of {}", request.entry->id.str()), std::move(done));
  }
  WitSvidRequest wit{.id = request.entry->id,
                     .key_type = request.key_type,
                     .not_before = now - kLeafBackdate,
                     .issued_at = now,
                     .expires = now + request.ttl};
  Note(SvidKind::kWit, wit.expires);
  SignInPool([state = state_, wit = std::move(wit)] { return WitSvid::Issue(*state->tokens.wit, wit); },
             std::move(done));
}

template <class Work, class Done>
void EmbeddedCa::SignInPool(Work work, Done done) {
  loop_.ComputeInPool(std::move(work),
                      [alive = std::weak_ptr<void>(alive_), done = std::move(done)](auto signed_svid) mutable {
                        if (!alive.expired()) std::move(done)(std::move(signed_svid));
                      });
}

template <class Done>
void EmbeddedCa::AnswerLater(Status status, Done done) {
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
  // With another chain below the roots, what was signed before may lead to none of them.
  const bool new_signer = !state_ || !why_not_ready_.ok() ||
                          !(state_->issuer.certificate() == state.issuer.certificate()) ||
                          state_->issuer.chain_tail() != state.issuer.chain_tail();
  std::array<bool, 3> new_token_signer{};
  for (const SvidKind kind : {SvidKind::kJwt, SvidKind::kWit}) {
    bool& is_new = new_token_signer[static_cast<std::size_t>(kind)];
    is_new = KeyIdOf(state, kind) != (state_ ? KeyIdOf(*state_, kind) : "");
    if (is_new) latest_end_[static_cast<std::size_t>(kind)].reset();
  }
  if (new_bundle) bundle_ = std::make_shared<const Bundle>(state.bundle);
  state_ = std::make_shared<const SigningState>(std::move(state));
  why_not_ready_ = OkStatus();
  if (new_signer) latest_end_[static_cast<std::size_t>(SvidKind::kX509)].reset();
  if (new_bundle) Tell(bundle_listeners_);
  if (new_signer) Tell(signer_listeners_);
  if (std::count(new_token_signer.begin(), new_token_signer.end(), true) > 0) Tell(token_signer_listeners_);
}

void EmbeddedCa::Withdraw(Status why) {
  why_not_ready_ = std::move(why);
}

}  // namespace lanyard
