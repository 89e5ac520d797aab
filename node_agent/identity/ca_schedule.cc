#include "node_agent/identity/ca_schedule.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "node_agent/identity/text.h"
#include "pki/root.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

// Each stays until the last SVID that it signed has expired, is in every bundle until then, and on a list with an end.
constexpr std::size_t kMostKeptForRotation = 64;

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

// The youngest root of those that `may` and that could sign for a while from now on, or null.
template <class Predicate>
const Authority* FindYoungest(const CaState& state, WallTime now, Predicate may) {
  const Authority* found = nullptr;
  for (const Authority& authority : state.authorities) {
    if (may(authority) && IsUsable(&authority, now) && now < HandoverTime(authority)) found = &authority;
  }
  return found;
}

const Authority* FindPrepared(const CaState& state, WallTime now) {
  return FindYoungest(state, now, [](const Authority& a) { return a.phase == AuthorityPhase::kPrepared; });
}

// Who signs next, or null if nobody can yet. A root that was set aside is only asked back in need.
const Authority* FindSuccessor(const CaState& state, WallTime now) {
  const Authority* prepared = FindPrepared(state, now);
  if (prepared != nullptr || IsUsable(state.Active(), now)) return prepared;
  return FindYoungest(state, now, [](const Authority& a) { return a.may_return; });
}

bool IsOver(const Authority& authority, WallTime now) {
  if (authority.keep_until) return *authority.keep_until <= now;
  return authority.phase == AuthorityPhase::kPrepared && authority.certificate.not_after() <= now;
}

bool HasReturned(const Authority& authority, WallTime now) {
  return authority.may_return && IsValidAt(authority.certificate, now);
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

// When the last SVID has expired that a root signed which signs nothing from now on.
WallTime LastSvidEnd(const CaState& state, const Authority& authority, WallTime now) {
  return std::min(WholeSecondsUp(now + state.longest_lifetime), authority.certificate.not_after());
}

// The active root signs nothing from now on, and stays for as long as anything that it has signed.
void RetireActive(CaState& state, WallTime now, std::optional<WallTime> latest_leaf_end) {
  for (Authority& authority : state.authorities) {
    if (authority.phase != AuthorityPhase::kActive) continue;
    const WallTime end = authority.certificate.not_after();
    authority.phase = AuthorityPhase::kRetired;
    authority.may_return = !IsValidAt(authority.certificate, now);
    if (now < authority.certificate.not_before()) {
      authority.keep_until = end;  // nothing is known of how far the clock was set back, and since when
    } else if (end <= now) {
      authority.keep_until = WholeSecondsUp(now + state.longest_lifetime);  // past its own end, on purpose
    } else {
      authority.keep_until = LastSvidEnd(state, authority, now);
      // Signed while the wall clock was ahead.
      if (latest_leaf_end)
        authority.keep_until = std::min(std::max(*authority.keep_until, WholeSecondsUp(*latest_leaf_end)), end);
    }
  }
}

CaStep SuccessionStep(const CaState& state, WallTime now) {
  return FindSuccessor(state, now) != nullptr ? CaStep::kPromote : CaStep::kMakeActive;
}

}  // namespace

bool IsValidAt(const Certificate& certificate, WallTime now) {
  return certificate.not_before() <= now && now < certificate.not_after();
}

bool IsUsable(const Authority* authority, WallTime now) {
  return authority != nullptr && IsValidAt(authority->certificate, now);
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
    case CaStep::kRetireReturned:
      return "retire roots that the clock brought back";
  }
  return "unknown step";
}

std::optional<CaStep> NextStep(const CaState& state, WallTime now) {
  const Authority* active = state.Active();
  // No root, one that expired during a long stop, or one from a future that a clock was wrong about.
  if (!IsUsable(active, now) || HandoverTime(*active) <= now) return SuccessionStep(state, now);
  if (HalfLife(*active) <= now && FindPrepared(state, now) == nullptr) return CaStep::kMakePrepared;
  for (const Authority& authority : state.authorities) {
    if (IsOver(authority, now)) return CaStep::kDropExpired;
    if (HasReturned(authority, now)) return CaStep::kRetireReturned;
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
    if (authority.may_return) consider(authority.certificate.not_before());
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
      const Authority* successor = FindSuccessor(state, now);
      if (successor == nullptr) return Error(StatusCode::kFailedPrecondition, "no root is prepared");
      const std::string id = successor->id;
      RetireActive(after, now, latest_leaf_end);
      for (Authority& authority : after.authorities) {
        if (authority.id != id) continue;
        authority.phase = AuthorityPhase::kActive;
        authority.keep_until.reset();
        authority.may_return = false;
      }
      break;
    }
    case CaStep::kDropExpired:
      std::erase_if(after.authorities, [&](const Authority& authority) { return IsOver(authority, now); });
      break;
    case CaStep::kRetireReturned:
      for (Authority& authority : after.authorities) {
        if (!HasReturned(authority, now)) continue;
        authority.keep_until = LastSvidEnd(state, authority, now);
        authority.may_return = false;
      }
      break;
  }
  return after;
}

bool KeepForLatest(CaState& state, const Authority* authority, std::optional<WallTime> latest_leaf_end) {
  if (authority == nullptr || !latest_leaf_end) return false;
  const WallTime end = std::min(WholeSecondsUp(*latest_leaf_end), authority->certificate.not_after());
  for (Authority& kept : state.authorities) {
    if (kept.id != authority->id || !kept.keep_until || end <= *kept.keep_until) continue;
    kept.keep_until = end;
    return true;
  }
  return false;
}

Result<CaState> Rotate(const CaState& state, const RootSettings& settings, WallTime now,
                       std::optional<WallTime> latest_leaf_end) {
  if (state.authorities.size() >= kMostKeptForRotation) {
    return Error(StatusCode::kFailedPrecondition,
                 "{} authorities are kept until what they signed has expired, and at {} or more none is added by hand; "
                 "rotate again when one has gone: `lanyard ca show` says when",
                 state.authorities.size(), kMostKeptForRotation);
  }
  CaState before = state;
  for (Authority& authority : before.authorities) authority.may_return = false;
  ASSIGN_OR_RETURN(CaState after, TakeStep(SuccessionStep(before, now), before, settings, now, latest_leaf_end));
  for (Authority& authority : after.authorities) authority.may_return = false;
  return after;
}

}  // namespace lanyard
