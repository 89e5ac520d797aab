// The revocation lists that go with the bundle: exactly one current list of every CA whose key is here, empty ones too,
// and those of the CAs above a given issuer.
//
// Verifiers check lists by the chain: as soon as they have one, they want one of each CA, and they refuse everybody
// below a CA whose list is missing, begins later or is over, to the second. So lists and bundle are handed out
// together: after a change of the bundle Current() has nothing until the lists of the new CAs are signed, which takes
// milliseconds, or as long as kDiskPatience when the disk is slow.
//
// The times follow from that. A list begins a minute ago, for verifiers whose clock is behind. It is signed anew every
// hour and ends after a week: 168 times in a row that must fail before a dead agent, or a disk that cannot be written,
// becomes an outage for whoever still holds its last list; the SVIDs that it speaks of have ended long before. The
// price is that a verifier who is kept from newer lists believes an old one for a week, in which it could as well be
// kept from the agent. A change of what is revoked is signed at once, further ones after a second.
//
// The number of a list is durable in the state store before it is signed, so no two lists of one CA ever have the same.
// It is not below the seconds since 1970 either: it also rises when the store was lost.
//
// Without its key a CA's list cannot be renewed. A root that has left the bundle takes its list with it: what it signed
// is refused anyway (so it is with a retired root whose key file was lost: the root leaves the bundle, ca_store.h). An
// issuer that was replaced, and a root that stays in the bundle without its key, keep their last list as it is until
// that or their certificate ends: what they signed goes on being accepted, as is what would have to be revoked of it
// from then on. Such serials are kept, and listed if the key comes back.
//
// Lifetime: borrows all that it is given. Thread: loop; lists are signed in the pool. Fails closed: with no list at all
// Current() is an error. A list that could not be renewed stays in use; health() says so.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/health.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/identity/issuer_root_crl.h"
#include "node_agent/state/state_store.h"
#include "pki/crl.h"
#include "pki/issuer.h"

namespace lanyard {

inline constexpr std::chrono::seconds kCrlBackdate{60};
inline constexpr std::chrono::hours kCrlRefresh{1};
inline constexpr std::chrono::hours kCrlLife{24 * 7};

// What goes into the crl fields of the Workload API.
struct CrlSet {
  std::uint64_t version = 0;       // rises with every set
  std::vector<std::string> lists;  // DER, in a fixed order
};
using CrlSetPtr = std::shared_ptr<const CrlSet>;

struct CrlOptions {
  std::string issuer_root_crl;  // empty: none
};

struct CrlStats {
  std::optional<WallTime> earliest_next_update;  // of the lists that are handed out
  std::size_t entries = 0;                       // in those of our CAs
};

class CrlKeeper {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;
  using Issuers = std::function<std::vector<Issuer>()>;  // whose keys are here

  // Blocks on the disk: for start-up. The first lists are signed once the loop runs.
  static Result<std::unique_ptr<CrlKeeper>> Start(CrlOptions options, IdentitySource& source, Issuers issuers,
                                                  const RevocationState& at_start, StateStore& state, EventLoop& loop,
                                                  Clock& clock);
  ~CrlKeeper();

  // The newest lists; null while those that the bundle needs are being signed. Unavailable when none could be signed.
  Result<CrlSetPtr> Current() const;
  // Called when Current() says something else.
  void OnChange(absl::AnyInvocable<void()> listener) { listeners_.push_back(std::move(listener)); }

  // From now on the certificate is in every new list of its CA; `done` tells whether that is durable.
  void Revoke(RevokedSerial revoked, Done done);
  // Reads issuer_root_crl again (for SIGHUP).
  void Reload();

  CrlStats stats() const;
  HealthReport health() const;

 private:
  struct Authority;
  using AuthorityPtr = std::shared_ptr<Authority>;

  CrlKeeper(IdentitySource& source, Issuers issuers, const RevocationState& at_start, StateStore& state,
            EventLoop& loop, Clock& clock);
  void TakeAuthorities();
  AuthorityPtr Find(const Certificate& certificate) const;
  bool InBundle(const Certificate& certificate) const;
  // Signs what is due, or publishes what there is.
  void Look();
  bool IsDue(const Authority& authority) const;
  void Sign(const AuthorityPtr& authority);
  CrlContent ContentFor(const Authority& authority, WallTime now);
  void OnSigned(Authority& authority, WallTime when, Result<Crl> crl);
  void DropEnded();
  bool IsAbove(const Authority& authority) const;
  void Publish();

  IdentitySource& source_;
  const Issuers issuers_;
  StateStore& state_;
  EventLoop& loop_;
  Clock& clock_;
  std::map<std::string, std::map<std::string, RevokedSerial>> revoked_;  // by authority, by serial
  std::map<std::string, std::uint64_t> numbers_;                         // by authority: the last that was used
  std::vector<AuthorityPtr> authorities_;
  std::unique_ptr<IssuerRootCrl> above_;  // null: none
  std::size_t signing_ = 0;               // lists on their way
  bool unpublished_ = true;               // a list or a CA has come or gone
  bool settled_ = false;                  // every CA of the bundle has its list, or could not be given one
  CrlSetPtr set_;                         // null: none was ever signed
  bool handed_out_ = false;               // a list, to verifiers who check by it from then on
  std::vector<absl::AnyInvocable<void()>> listeners_;
  std::unique_ptr<Clock::Alarm> alarm_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
