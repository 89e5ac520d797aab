// One current SVID per registry entry, kept fresh: SvidCache for X.509-SVIDs, WitSvidCache for WIT-SVIDs.
//
// Whoever asks for an entry's SVID while it is being signed waits for that one signing. An SVID is renewed around half
// of its life, jittered so that nodes do not move in step; what falls due soon after is renewed along with it, so that
// a stream that shows fifty identities gets one push, not fifty. While renewal fails the old SVID is served on and
// renewal is tried again (1 s, doubling to 30 s); an expired one is never served. When another authority begins to
// sign, everything is renewed within a few seconds.
//
// An entry that nobody holds, and nobody has asked for since its SVID was made, is dropped at renewal time; its key is
// wiped with the last reference. Entries are told apart by address, which the registry keeps across reloads for equal
// content.
//
// Lifetime: borrows the source, the loop and the clock. Thread: loop. Fails closed: no valid SVID, no answer but an
// error.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/identity/cached_svid.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/identity/svid_kinds.h"

namespace lanyard {

struct SvidCacheOptions {
  std::chrono::seconds default_ttl = std::chrono::hours(1);  // an entry's own may only be shorter
  KeyType default_key_type = KeyType::kEcP256;
  std::size_t renewals_at_once = 4;  // leaves the pool to those who wait for their first SVID
};

// Counted since the start; what was thrown away on arrival (Forget) is in none of them.
struct SvidCacheStats {
  std::uint64_t issued_new = 0, issued_renewal = 0;
  std::uint64_t failed_new = 0, failed_renewal = 0;
  std::uint64_t expired = 0;  // SVIDs that could not be renewed in time
  // Of the SVIDs that are held now, the moment at which the first one expires if nothing renews it.
  std::optional<WallTime> earliest_not_after;
};

// `Kind` is one of svid_kinds.h.
template <class Kind>
class EntrySvidCache {
 public:
  using CachedPtr = typename Kind::CachedPtr;
  using Done = absl::AnyInvocable<void(Result<CachedPtr>) &&>;
  using ChangeListener = absl::AnyInvocable<void(std::span<const EntryPtr> changed)>;
  using Random = std::function<double()>;  // uniform in [0, 1)

  EntrySvidCache(IdentitySource& source, EventLoop& loop, Clock& clock, SvidCacheOptions options, Random random);
  EntrySvidCache(const EntrySvidCache&) = delete;
  EntrySvidCache& operator=(const EntrySvidCache&) = delete;
  ~EntrySvidCache();

  // The entry's SVID, made if there is none. `done` runs on the loop after Get() has returned, or never if the cache is
  // destroyed.
  void Get(const EntryPtr& entry, Done done);
  // The SVID that Get() would answer with at once, or null.
  CachedPtr Peek(const EntryPtr& entry);

  // While a Hold lives, its entry is renewed. May outlive the cache.
  struct State;
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept = default;
    Hold& operator=(Hold&& other) noexcept;
    ~Hold() { Release(); }

   private:
    friend EntrySvidCache;
    void Release();
    std::weak_ptr<State> cache_;
    EntryPtr entry_;
  };
  [[nodiscard]] Hold Retain(const EntryPtr& entry);

  // Called with the entries whose SVID was renewed, has expired or was forgotten; one call for all that changed
  // together.
  void OnChange(ChangeListener listener);

  // Throws the SVID away now, for an entry that no longer exists or an identity that was taken back. Whoever waits for
  // it is answered PermissionDenied, and what is being signed is discarded.
  void Forget(const EntryPtr& entry);

  // New defaults after a change of the configuration; they apply from each entry's next signing.
  void SetOptions(SvidCacheOptions options);

  std::size_t size() const;
  // Costs a look at every entry.
  SvidCacheStats stats() const;
  HealthReport health() const;

 private:
  std::shared_ptr<State> state_;
};

using SvidCache = EntrySvidCache<X509Kind>;
using WitSvidCache = EntrySvidCache<WitKind>;

extern template class EntrySvidCache<X509Kind>;
extern template class EntrySvidCache<WitKind>;

}  // namespace lanyard
