// The life of self-signed roots, as arithmetic: given the roots and the time, what has to happen next?
//
//   created ──────────── half ─────────── five sixths ──── end
//   signs                next one made,   next one signs,
//                        published        this one retires; it leaves when its last SVID has expired
//
// The next root is in everybody's bundle for a third of a life before anything is signed with it. No I/O and no clock:
// the same steps are taken at start-up, after a long stop, after a jump of the wall clock, and in tests.
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
  kMakePrepared,  // make the next root and publish it
  kMakeActive,    // make a root that signs at once; the active one, if any, retires
  kPromote,       // the prepared root signs; the active one, if any, retires
  kDropExpired,   // forget roots whose time is over
};
std::string_view CaStepName(CaStep step);  // for the log and errors, e.g. "make the next root"

std::optional<CaStep> NextStep(const CaState& state, WallTime now);
// The step that rotates by hand, whatever the time.
CaStep RotationStep(const CaState& state, WallTime now);
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

// Is `now` within the certificate's dates?
bool IsValidAt(const Certificate& certificate, WallTime now);

}  // namespace lanyard
