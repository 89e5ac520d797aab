#include "node_agent/identity/update_hub.h"

#include <type_traits>
#include <utility>
#include <variant>

namespace lanyard {

struct UpdateHub::Subscriber {
  Shows shows;
  Callback callback{};  // empty once the subscription has ended
  std::vector<EntryPtr> interest{};
  std::variant<std::vector<SvidCache::Hold>, std::vector<WitSvidCache::Hold>> holds{};
  Update pending{};
  bool is_due = false;
  bool in_callback = false;
  bool ended = false;
};

UpdateHub::UpdateHub(SvidCache& svids, WitSvidCache& wits, IdentitySource& source, Clock& clock)
    : svids_(svids), wits_(wits), source_(source), clock_(clock), bundle_(source.bundle()) {
  svids.OnChange([weak = std::weak_ptr<UpdateHub*>(self_)](std::span<const EntryPtr> changed) {
    if (auto self = weak.lock()) (*self)->OnSvidChange((*self)->by_entry_, changed);
  });
  wits.OnChange([weak = std::weak_ptr<UpdateHub*>(self_)](std::span<const EntryPtr> changed) {
    if (auto self = weak.lock()) (*self)->OnSvidChange((*self)->by_wit_entry_, changed);
  });
  source.OnBundleChange([weak = std::weak_ptr<UpdateHub*>(self_)] {
    if (auto self = weak.lock()) (*self)->OnBundleChange();
  });
}

UpdateHub::~UpdateHub() = default;

std::unique_ptr<UpdateHub::Subscription> UpdateHub::Subscribe(Shows shows, Callback callback) {
  auto subscriber = std::make_shared<Subscriber>(Subscriber{.shows = shows, .callback = std::move(callback)});
  all_.insert(subscriber);
  return std::unique_ptr<Subscription>(new Subscription(self_, std::move(subscriber)));
}

bool UpdateHub::Concerns(Shows shows, const Update& what) {
  switch (shows) {
    case Shows::kX509Svids:
    case Shows::kX509Bundles:
      return what.registry || what.bundle;
    case Shows::kTokenBundles:
      return what.registry || what.token_keys;
    case Shows::kWitSvids:
      return what.registry;
    case Shows::kBundleDocument:
      break;
  }
  return true;
}

UpdateHub::ByEntry* UpdateHub::EntriesOf(Shows shows) {
  if (shows == Shows::kX509Svids || shows == Shows::kBundleDocument) return &by_entry_;
  return shows == Shows::kWitSvids ? &by_wit_entry_ : nullptr;
}

void UpdateHub::OnSvidChange(const ByEntry& shown, std::span<const EntryPtr> entries) {
  for (const EntryPtr& entry : entries) {
    const auto found = shown.find(entry.get());
    if (found == shown.end()) continue;
    for (const auto& subscriber : found->second) Mark(subscriber, Update{.svids = true});
  }
}

// Keys of the one kind are no news for streams that show the other.
void UpdateHub::OnBundleChange() {
  const std::shared_ptr<const Bundle> before = std::exchange(bundle_, source_.bundle());
  if (!before || !bundle_) return NotifyBundles();
  const bool same_tokens = before->JwtKeySet() == bundle_->JwtKeySet() && before->WitKeySet() == bundle_->WitKeySet();
  const bool same_x509 = before->x509_authorities() == bundle_->x509_authorities();
  NotifyAll(Update{.bundle = !same_x509 || same_tokens, .token_keys = !same_tokens});
}

// Tokens are on no revocation list.
void UpdateHub::NotifyCrls() {
  NotifyAll(Update{.bundle = true});
}

void UpdateHub::NotifyBundles() {
  NotifyAll(Update{.bundle = true, .token_keys = true});
}

void UpdateHub::NotifyRegistry() {
  NotifyAll(Update{.registry = true});
}

void UpdateHub::NotifyAll(Update what) {
  for (const auto& subscriber : all_) {
    if (Concerns(subscriber->shows, what)) Mark(subscriber, what);
  }
}

void UpdateHub::Mark(const SubscriberPtr& subscriber, Update what) {
  subscriber->pending.svids |= what.svids;
  subscriber->pending.bundle |= what.bundle;
  subscriber->pending.token_keys |= what.token_keys;
  subscriber->pending.registry |= what.registry;
  if (std::exchange(subscriber->is_due, true)) return;
  due_.push_back(subscriber);
  if (!flush_) flush_ = clock_.CallAfter(kUpdateBatchWindow, [this] { Flush(); });
}

void UpdateHub::Flush() {
  const std::weak_ptr<UpdateHub*> alive = self_;
  flush_.reset();
  for (std::size_t called = 0; called < kUpdateSlice && !due_.empty(); ++called) {
    const auto subscriber = std::move(due_.front());
    due_.pop_front();
    subscriber->is_due = false;
    const Update update = std::exchange(subscriber->pending, Update{});
    if (subscriber->ended) continue;
    // The callback may end its own subscription: it is not destroyed while it runs.
    subscriber->in_callback = true;
    subscriber->callback(update);
    subscriber->in_callback = false;
    if (subscriber->ended) subscriber->callback = nullptr;
    if (alive.expired()) return;
  }
  if (!due_.empty() && !flush_) flush_ = clock_.CallAfter(std::chrono::nanoseconds(0), [this] { Flush(); });
}

void UpdateHub::SetInterest(const SubscriberPtr& subscriber, std::vector<EntryPtr> entries) {
  ByEntry* const shown = EntriesOf(subscriber->shows);
  if (shown == nullptr) return;
  // The new holds are taken before the old ones go, so that nothing is dropped in between.
  const auto hold = [&entries](auto& cache) {
    std::vector<typename std::remove_reference_t<decltype(cache)>::Hold> holds;
    holds.reserve(entries.size());
    for (const EntryPtr& entry : entries) holds.push_back(cache.Retain(entry));
    return holds;
  };
  auto holds = subscriber->shows == Shows::kWitSvids ? decltype(subscriber->holds)(hold(wits_))
                                                     : decltype(subscriber->holds)(hold(svids_));
  for (const EntryPtr& entry : subscriber->interest) {
    const auto found = shown->find(entry.get());
    if (found == shown->end()) continue;
    found->second.erase(subscriber);
    if (found->second.empty()) shown->erase(found);
  }
  for (const EntryPtr& entry : entries) (*shown)[entry.get()].insert(subscriber);
  subscriber->interest = std::move(entries);
  subscriber->holds = std::move(holds);
}

void UpdateHub::Remove(const SubscriberPtr& subscriber) {
  SetInterest(subscriber, {});
  all_.erase(subscriber);
}

UpdateHub::Subscription::Subscription(std::weak_ptr<UpdateHub*> hub, std::shared_ptr<Subscriber> subscriber)
    : hub_(std::move(hub)), subscriber_(std::move(subscriber)) {}

UpdateHub::Subscription::~Subscription() {
  subscriber_->ended = true;
  if (auto hub = hub_.lock()) (*hub)->Remove(subscriber_);
  if (!subscriber_->in_callback) subscriber_->callback = nullptr;
}

void UpdateHub::Subscription::SetInterest(std::vector<EntryPtr> entries) {
  if (auto hub = hub_.lock()) (*hub)->SetInterest(subscriber_, std::move(entries));
}

}  // namespace lanyard
