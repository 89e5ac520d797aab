// The life of self-signed roots, as arithmetic: given the roots and the time, what has to happen next?
//
//   created ──────────── half ─────────── five sixths ──── end
//   signs                next one made,   next one signs,
//                        published        this one retires; it leaves when its last SVID has expired
//
// The next root is in everybody's bundle for a third of a life before anything is signed with it. No I/O and no clock:
// the same steps are taken at start-up, after a long stop, after a jump of the wall clock, and in tests.
//
// The wall clock may be wrong for a while. When it leaves the dates of the active root, another one signs, made now if
// need be, and the old one is set aside: it stays in the bundle and on disk, counted from the moment at which it was
// set aside, since by another clock its SVIDs are still good. If the clock comes back and leaves the dates of the root
// that signs then, the one that was set aside signs again, so that a clock that flaps does not heap up roots.
//
// Thread: any; pure, except that making a root draws a key.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "node_agent/base/status.h"
#include "node_agent/identity/ca_state.h"

namespace lanyard {

// How far before its creation a root's certificate begins. Generous, since it costs nothing: it covers clocks of
// containers and virtual machines that lag, and small steps backwards of our own.
inline constexpr std::chrono::minutes kRootBackdate{5};

enum class CaStep {
  kMakePrepared,    // make the next root and publish it
  kMakeActive,      // make a root that signs at once; the active one, if any, retires
  kPromote,         // the prepared root signs, or one that the clock brought back; the active one, if any, retires
  kDropExpired,     // forget roots whose time is over
  kRetireReturned,  // the clock brought back a root that was set aside, and it is not needed any more
};
std::string_view CaStepName(CaStep step);  // for the log and errors, e.g. "make the next root"

std::optional<CaStep> NextStep(const CaState& state, WallTime now);
// When NextStep could have an answer again; only sensible while it has none.
WallTime NextEvent(const CaState& state, WallTime now);

// When the active root hands over.
WallTime HandoverTime(const Authority& active);

struct RootSettings {
  TrustDomain trust_domain;
  KeyType key_type = KeyType::kEcP256;
  std::chrono::seconds ttl{0};
};

// The state after `step`. `latest_leaf_end`: of any SVID known to be signed by the active root, or nothing. Never
// changes `state`.
Result<CaState> TakeStep(CaStep step, const CaState& state, const RootSettings& settings, WallTime now,
                         std::optional<WallTime> latest_leaf_end);

// `authority` may have signed on while the step that retired it was made durable: it stays in `state` until
// `latest_leaf_end` too, though not past its own end. Whether that made a difference.
bool KeepForLatest(CaState& state, const Authority* authority, std::optional<WallTime> latest_leaf_end);

// The state after a rotation by hand, whatever the time: the prepared root signs, or a new one. No root that has signed
// before signs again, ever: an operator may rotate because a key has leaked. FailedPrecondition while 64 authorities or
// more are kept; steps that have to be taken are not held up by that.
Result<CaState> Rotate(const CaState& state, const RootSettings& settings, WallTime now,
                       std::optional<WallTime> latest_leaf_end);

// Could `authority` sign at `now`? False for null.
bool IsUsable(const Authority* authority, WallTime now);

// Is `now` within the certificate's dates?
bool IsValidAt(const Certificate& certificate, WallTime now);

}  // namespace lanyard
