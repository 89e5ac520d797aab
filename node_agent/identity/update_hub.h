// Tells every stream when what it shows has changed.
//
// A subscription names the entries it shows; it is called when one of their SVIDs changed, and always when the bundle
// or the registry did. Everything that changes within a few milliseconds is one call. The call carries no data: a
// subscriber reads the newest state itself, so one that is slow skips versions and nothing is ever queued for it.
// Naming an entry also holds it in the SVID cache, so that it is renewed as long as a stream shows it.
//
// The cost is proportional to the subscriptions affected; they are called in slices, so that thousands of them do not
// keep the loop from other work.
//
// Lifetime: borrows the cache, the source and the clock; a Subscription may outlive the hub. Thread: loop.
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

// What has changed since the last call; at least one is set.
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

  UpdateHub(SvidCache& cache, IdentitySource& source, Clock& clock);
  UpdateHub(const UpdateHub&) = delete;
  UpdateHub& operator=(const UpdateHub&) = delete;
  ~UpdateHub();

  // `callback` runs on the loop, never before the call that caused it has returned. Destroying the subscription ends
  // it, also from inside the callback.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Callback callback);

  // The hub hears of SVIDs and of the own bundle by itself; these are for the rest, such as new revocation lists.
  void NotifyEntries(std::span<const EntryPtr> entries);
  void NotifyBundles();
  void NotifyRegistry();

  std::size_t subscriptions() const { return all_.size(); }

 private:
  struct Subscriber;
  void OnBundleChange();
  void NotifyAll(Update what);
  void Mark(const std::shared_ptr<Subscriber>& subscriber, Update what);
  void Flush();
  void SetInterest(const std::shared_ptr<Subscriber>& subscriber, std::vector<EntryPtr> entries);
  void Remove(const std::shared_ptr<Subscriber>& subscriber);

  SvidCache& cache_;
  IdentitySource& source_;
  Clock& clock_;
  std::shared_ptr<const Bundle> bundle_;  // of the source, as it was told last
  std::unordered_set<std::shared_ptr<Subscriber>> all_;
  std::unordered_map<const Entry*, std::unordered_set<std::shared_ptr<Subscriber>>> by_entry_;
  std::deque<std::shared_ptr<Subscriber>> due_;
  std::unique_ptr<Clock::Alarm> flush_;
  std::shared_ptr<UpdateHub*> self_ = std::make_shared<UpdateHub*>(this);
};

class UpdateHub::Subscription {
 public:
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  // The entries this subscriber shows from now on. Holds them in the SVID cache.
  void SetInterest(std::vector<EntryPtr> entries);

 private:
  friend class UpdateHub;
  Subscription(std::weak_ptr<UpdateHub*> hub, std::shared_ptr<Subscriber> subscriber);

  std::weak_ptr<UpdateHub*> hub_;
  std::shared_ptr<Subscriber> subscriber_;
};

}  // namespace lanyard
