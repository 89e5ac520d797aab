// The SVIDs that a stream's client was sent last: what it keeps while it may not have newer ones.
//
// A stream is shown a renewed SVID only after its caller was attested again. Until then, and for as long as nobody can
// find out whether the reason for its identity still holds, it keeps what it has, at the longest until that expires.
//
// Thread: loop.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "node_agent/identity/cached_svid.h"

namespace lanyard {

// `CachedPtr` is that of a kind (svid_kinds.h).
template <class CachedPtr>
class SvidsInHand {
 public:
  // What a message may show of the entry of `newest` (null: there is none now): that, or the one in hand.
  CachedPtr ToShow(const EntryPtr& entry, CachedPtr newest, bool may_renew, WallTime now) const {
    if (may_renew) return newest;
    const auto held =
        std::find_if(held_.begin(), held_.end(), [&](const CachedPtr& svid) { return svid->entry == entry; });
    if (held == held_.end()) return newest;
    return IsValidAt(**held, now) ? *held : nullptr;
  }

  void Shown(std::vector<CachedPtr> svids) { held_ = std::move(svids); }

  // When the first of them expires; nothing when there are none.
  std::optional<WallTime> Until() const {
    std::optional<WallTime> until;
    for (const CachedPtr& svid : held_) until = std::min(until.value_or(WallTime::max()), svid->not_after());
    return until;
  }

 private:
  std::vector<CachedPtr> held_;
};

}  // namespace lanyard
