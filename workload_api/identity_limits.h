// What one identity may have and do: calls open at once and calls a second, over all processes that have it.
//
// Limits of callers (node_agent/rpc/account.h) come before anybody is attested; these come after, and bound what many
// callers do together in one name. A caller with several identities is held to the limits of each. Only identities that
// the registry gives to somebody are in the table.
//
// Neither limit has to do with signing: an identity is signed once however many calls ask for it (svid_cache.h).
//
// Lifetime: the clock outlives it; a ticket may outlive it. Thread: loop.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"
#include "node_agent/base/token_bucket.h"
#include "node_agent/registry/entry.h"

namespace lanyard {

struct IdentityLimitSettings {
  unsigned calls_per_second = 1000;  // after as many at once as streams may be open
  unsigned streams = 2000;           // calls that are not over
  friend bool operator==(const IdentityLimitSettings&, const IdentityLimitSettings&) = default;
};

enum class IdentityLimit { kCallRate, kStreams };

// By IdentityLimit; the names of the configuration.
inline constexpr std::array<std::string_view, 2> kIdentityLimitNames = {"calls_per_second", "streams"};

class IdentityLimits {
 public:
  struct Use;
  // A call in the name of some identities; over when it is destroyed.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket() { Release(); }

   private:
    friend class IdentityLimits;
    void Release();
    std::vector<std::shared_ptr<Use>> uses_;
  };

  explicit IdentityLimits(Clock& clock, const IdentityLimitSettings& settings = {})
      : clock_(clock), settings_(settings) {}

  // Unavailable when one of the identities has reached a limit: which, and the key that raises it.
  Result<Ticket> Admit(const std::vector<EntryPtr>& entries);
  // For a stream that is open and whose identities are others now; nobody is refused.
  Ticket Hold(const std::vector<EntryPtr>& entries);

  void SetSettings(const IdentityLimitSettings& settings) { settings_ = settings; }
  size_t size() const { return uses_.size(); }
  // By IdentityLimit, since the start.
  const std::array<uint64_t, kIdentityLimitNames.size()>& refused() const { return refused_; }

 private:
  Rate rate() const {
    return {static_cast<double>(settings_.calls_per_second), static_cast<double>(settings_.streams)};
  }
  std::vector<std::shared_ptr<Use>> Find(const std::vector<EntryPtr>& entries);
  Status Refuse(IdentityLimit limit, const std::string& id, std::string_view what, unsigned most);

  Clock& clock_;
  IdentityLimitSettings settings_;
  std::unordered_map<std::string, std::shared_ptr<Use>> uses_;  // by SPIFFE ID
  size_t forget_at_ = 64;
  std::array<uint64_t, kIdentityLimitNames.size()> refused_{};
};

}  // namespace lanyard
