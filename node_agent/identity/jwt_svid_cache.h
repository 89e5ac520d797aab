// JWT-SVIDs that were signed a moment ago, for whoever asks for the same ones again.
//
// One token per entry and set of audiences; the order in which audiences are named does not matter. Until half of its
// life it is handed out as it is; from then on it is still handed out, while a new one is being made; shortly before
// its end it is not handed out any more, and who asks waits for the new one. Whoever asks for a token that is being
// signed waits for that one signing. When another key has begun to sign, every token is made anew the next time that
// somebody asks.
//
// Nothing is renewed that nobody asks for. The cache is bounded for each entry and as a whole; what was not asked for
// the longest goes first, of that entry or of all, so that a caller that names ever new audiences drives out its own
// tokens.
//
// Lifetime: borrows the source, the loop and the clock. Thread: loop. Fails closed: no valid token, no answer but an
// error.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/identity/identity_source.h"

namespace lanyard {

struct JwtSvidCacheOptions {
  std::chrono::seconds default_ttl = std::chrono::minutes(5);  // an entry's own may only be shorter
  std::size_t most_per_entry = 128;
  std::size_t most_bytes = std::size_t{16} * 1024 * 1024;  // of all tokens and what they say
};

// Counted since the start.
struct JwtSvidCacheStats {
  std::uint64_t hits = 0;    // answered at once
  std::uint64_t shared = 0;  // waited for a signing that somebody else had asked for
  std::uint64_t issued_new = 0, issued_renewal = 0;
  std::uint64_t failed_new = 0, failed_renewal = 0;
  std::uint64_t evicted = 0;  // thrown away, still valid, to make room
};

class JwtSvidCache {
 public:
  using Done = absl::AnyInvocable<void(Result<JwtSvid>) &&>;
  using Random = std::function<double()>;  // uniform in [0, 1)

  JwtSvidCache(IdentitySource& source, EventLoop& loop, Clock& clock, JwtSvidCacheOptions options, Random random);
  JwtSvidCache(const JwtSvidCache&) = delete;
  JwtSvidCache& operator=(const JwtSvidCache&) = delete;
  ~JwtSvidCache();

  // The entry's token for exactly these audiences, each named once in it. `done` runs on the loop after Get() has
  // returned, or never if the cache is destroyed. InvalidArgument without an audience.
  void Get(const EntryPtr& entry, std::vector<std::string> audiences, Done done);

  // Throws the entry's tokens away now, for one that no longer exists or an identity that was taken back. Whoever waits
  // for one is answered PermissionDenied, and what is being signed is discarded.
  void Forget(const EntryPtr& entry);

  // New defaults after a change of the configuration; they apply from each next signing.
  void SetOptions(JwtSvidCacheOptions options);

  std::size_t size() const;
  std::size_t bytes() const;
  const JwtSvidCacheStats& stats() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
