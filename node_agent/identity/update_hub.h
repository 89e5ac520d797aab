// Tells every stream when what it shows has changed.
//
// A subscription says what kind of thing it shows, and names the entries; it is called when one of their SVIDs changed,
// when keys that it shows did, and always when the registry did. Everything that changes within a few milliseconds is
// one call. The call carries no data: a subscriber reads the newest state itself, so one that is slow skips versions
// and nothing is ever queued for it. Naming an entry also holds it in the cache of its kind, so that it is renewed as
// long as a stream shows it.
//
// The cost is proportional to the subscriptions affected; they are called in slices, so that thousands of them do not
// keep the loop from other work.
//
// Lifetime: borrows the caches, the source and the clock; a Subscription may outlive the hub. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/identity/svid_cache.h"

namespace lanyard {

inline constexpr std::chrono::milliseconds kUpdateBatchWindow{5};
inline constexpr std::size_t kUpdateSlice = 256;  // subscriptions called in one go

// What a subscription shows.
enum class Shows {
  kX509Svids,     // with the bundles and revocation lists that go with them
  kX509Bundles,   // and revocation lists
  kTokenBundles,  // of JWT-SVIDs or WIT-SVIDs
  kWitSvids,
  kBundleDocument,  // keys of every kind, over TLS with an X.509-SVID
};

// What has changed since the last call, of that which is shown; at least one is set.
struct Update {
  bool svids = false;       // of the entries named by SetInterest
  bool bundle = false;      // X.509 authorities, own or federated, or the revocation lists with them
  bool token_keys = false;  // what tokens are verified with, own or federated
  bool registry = false;    // who earns what has to be asked again
};

class UpdateHub {
 public:
  using Callback = absl::AnyInvocable<void(Update)>;
  class Subscription;

  UpdateHub(SvidCache& svids, WitSvidCache& wits, IdentitySource& source, Clock& clock);
  UpdateHub(const UpdateHub&) = delete;
  UpdateHub& operator=(const UpdateHub&) = delete;
  ~UpdateHub();

  // `callback` runs on the loop, never before the call that caused it has returned. Destroying the subscription ends
  // it, also from inside the callback.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Shows shows, Callback callback);

  // The hub hears of SVIDs and of the own bundle by itself; these are for the rest.
  void NotifyCrls();
  void NotifyBundles();
  void NotifyRegistry();

  std::size_t subscriptions() const { return all_.size(); }

 private:
  struct Subscriber;
  using SubscriberPtr = std::shared_ptr<Subscriber>;
  using ByEntry = std::unordered_map<const Entry*, std::unordered_set<SubscriberPtr>>;

  static bool Concerns(Shows shows, const Update& what);
  void OnSvidChange(const ByEntry& shown, std::span<const EntryPtr> entries);
  void OnBundleChange();
  void NotifyAll(Update what);
  void Mark(const SubscriberPtr& subscriber, Update what);
  void Flush();
  void SetInterest(const SubscriberPtr& subscriber, std::vector<EntryPtr> entries);
  void Remove(const SubscriberPtr& subscriber);
  // Null for what shows no SVIDs.
  ByEntry* EntriesOf(Shows shows);

  SvidCache& svids_;
  WitSvidCache& wits_;
  IdentitySource& source_;
  Clock& clock_;
  std::shared_ptr<const Bundle> bundle_;  // of the source, as it was told last
  std::unordered_set<SubscriberPtr> all_;
  ByEntry by_entry_, by_wit_entry_;
  std::deque<SubscriberPtr> due_;
  std::unique_ptr<Clock::Alarm> flush_;
  std::shared_ptr<UpdateHub*> self_ = std::make_shared<UpdateHub*>(this);
};

class UpdateHub::Subscription {
 public:
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  // The entries this subscriber shows from now on. Holds them in the cache of the kind that it shows.
  void SetInterest(std::vector<EntryPtr> entries);

 private:
  friend class UpdateHub;
  Subscription(std::weak_ptr<UpdateHub*> hub, std::shared_ptr<Subscriber> subscriber);

  std::weak_ptr<UpdateHub*> hub_;
  std::shared_ptr<Subscriber> subscriber_;
};

}  // namespace lanyard
