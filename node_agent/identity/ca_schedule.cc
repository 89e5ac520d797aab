#include "node_agent/identity/ca_schedule.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "node_agent/identity/text.h"
#include "pki/root.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

// The state is kept in whole seconds on disk, so it is made of whole seconds: what is loaded equals what was saved.
WallTime WholeSeconds(WallTime when) {
  return std::chrono::floor<seconds>(when);
}
WallTime WholeSecondsUp(WallTime when) {
  return std::chrono::ceil<seconds>(when);
}

WallTime HalfLife(const Authority& authority) {
  return authority.created + (authority.certificate.not_after() - authority.created) / 2;
}

bool IsUsable(const Authority* authority, WallTime now) {
  return authority != nullptr && IsValidAt(authority->certificate, now);
}

// The youngest prepared root that could sign now, or null.
const Authority* FindPrepared(const CaState& state, WallTime now) {
  const Authority* found = nullptr;
  for (const Authority& authority : state.authorities) {
    if (authority.phase == AuthorityPhase::kPrepared && IsValidAt(authority.certificate, now)) found = &authority;
  }
  return found;
}

bool IsOver(const Authority& authority, WallTime now) {
  return authority.certificate.not_after() <= now || (authority.keep_until && *authority.keep_until <= now);
}

Result<Authority> MakeAuthority(const RootSettings& settings, AuthorityPhase phase, WallTime now) {
  const WallTime created = WholeSeconds(now);
  auto made = MakeRootCa(settings.trust_domain, settings.key_type, created - kRootBackdate, created + settings.ttl);
  if (!made.ok()) return Annotate(made.status(), "make a root for {}", settings.trust_domain.id());
  return Authority{.id = KeyIdHex(made->certificate),
                   .phase = phase,
                   .created = created,
                   .keep_until = std::nullopt,
                   .certificate = made->certificate,
                   .key = made->key};
}

// The active root signs nothing from now on, and stays for as long as anything that it has signed.
void RetireActive(CaState& state, WallTime now, std::optional<WallTime> latest_leaf_end) {
  for (Authority& authority : state.authorities) {
    if (authority.phase != AuthorityPhase::kActive) continue;
    WallTime last = now + state.longest_lifetime;
    if (latest_leaf_end) last = std::max(last, *latest_leaf_end);  // signed while the wall clock was ahead
    authority.phase = AuthorityPhase::kRetired;
    authority.keep_until = std::min(WholeSecondsUp(last), authority.certificate.not_after());
  }
}

}  // namespace

bool IsValidAt(const Certificate& certificate, WallTime now) {
  return certificate.not_before() <= now && now < certificate.not_after();
}

WallTime HandoverTime(const Authority& active) {
  return active.created + (active.certificate.not_after() - active.created) / 6 * 5;
}

std::string_view CaStepName(CaStep step) {
  switch (step) {
    case CaStep::kMakePrepared:
      return "make the next root";
    case CaStep::kMakeActive:
      return "make a new root";
    case CaStep::kPromote:
      return "let the next root sign";
    case CaStep::kDropExpired:
      return "drop roots whose time is over";
  }
  return "unknown step";
}

CaStep RotationStep(const CaState& state, WallTime now) {
  return FindPrepared(state, now) != nullptr ? CaStep::kPromote : CaStep::kMakeActive;
}

std::optional<CaStep> NextStep(const CaState& state, WallTime now) {
  const Authority* active = state.Active();
  // No root, one that expired during a long stop, or one from a future that a clock was wrong about.
  if (!IsUsable(active, now) || HandoverTime(*active) <= now) return RotationStep(state, now);
  if (HalfLife(*active) <= now && FindPrepared(state, now) == nullptr) return CaStep::kMakePrepared;
  for (const Authority& authority : state.authorities) {
    if (IsOver(authority, now)) return CaStep::kDropExpired;
  }
  return std::nullopt;
}

WallTime NextEvent(const CaState& state, WallTime now) {
  WallTime next = WallTime::max();
  const auto consider = [&](WallTime when) {
    if (when > now) next = std::min(next, when);
  };
  if (const Authority* active = state.Active()) {
    consider(HalfLife(*active));
    consider(HandoverTime(*active));
  }
  for (const Authority& authority : state.authorities) {
    consider(authority.certificate.not_after());
    if (authority.keep_until) consider(*authority.keep_until);
  }
  return next;
}

Result<CaState> TakeStep(CaStep step, const CaState& state, const RootSettings& settings, WallTime now,
                         std::optional<WallTime> latest_leaf_end) {
  CaState after = state;
  switch (step) {
    case CaStep::kMakePrepared: {
      ASSIGN_OR_RETURN(Authority made, MakeAuthority(settings, AuthorityPhase::kPrepared, now));
      after.authorities.push_back(std::move(made));
      break;
    }
    case CaStep::kMakeActive: {
      ASSIGN_OR_RETURN(Authority made, MakeAuthority(settings, AuthorityPhase::kActive, now));
      RetireActive(after, now, latest_leaf_end);
      after.authorities.push_back(std::move(made));
      break;
    }
    case CaStep::kPromote: {
      const Authority* prepared = FindPrepared(state, now);
      if (prepared == nullptr) return Error(StatusCode::kFailedPrecondition, "no root is prepared");
      const std::string id = prepared->id;
      RetireActive(after, now, latest_leaf_end);
      for (Authority& authority : after.authorities) {
        if (authority.id == id) authority.phase = AuthorityPhase::kActive;
      }
      break;
    }
    case CaStep::kDropExpired:
      std::erase_if(after.authorities, [&](const Authority& authority) { return IsOver(authority, now); });
      break;
  }
  return after;
}

}  // namespace lanyard
