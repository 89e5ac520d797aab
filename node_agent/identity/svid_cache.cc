#include "node_agent/identity/svid_cache.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/identity/renewal_times.h"
#include "node_agent/identity/wall_schedule.h"

namespace lanyard {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kLookAgain{1};     // the wall clock may have been set; a look compares two clocks
constexpr seconds kLongestBatch{1};  // changes are told after this time, even if some renewals are still out

template <class Kind>
struct Slot {
  EntryPtr entry;
  typename Kind::CachedPtr current;
  bool asked = false;         // since `current` was made
  bool had = false;           // an SVID, since the identity was last taken back: what comes in turn replaces it
  bool tell = false;          // the next success is a change for those who show the entry without an SVID
  std::uint64_t signing = 0;  // number of the signing under way; 0 if none. An answer with another number is stale
  std::size_t holders = 0;
  int failures = 0;  // since the last success
  Status last_error;
  WallTime due = WallTime::max();  // when to look at the slot again
  bool queued = false;             // for renewal
  std::vector<typename EntrySvidCache<Kind>::Done> waiters;
};

}  // namespace

template <class Kind>
struct EntrySvidCache<Kind>::State : std::enable_shared_from_this<EntrySvidCache<Kind>::State> {
  using Slot = lanyard::Slot<Kind>;

  IdentitySource& source;
  EventLoop& loop;
  Clock& clock;
  SvidCacheOptions options;
  Random random;
  std::vector<ChangeListener> listeners;

  std::unordered_map<const Entry*, std::unique_ptr<Slot>> slots;
  WallSchedule<const Entry*> schedule;
  std::unique_ptr<Clock::Alarm> alarm;

  std::uint64_t last_signing = 0;
  std::uint64_t last_version = 0;
  SvidCacheStats counted;
  std::uint64_t signer = 0;  // rises when another authority begins to sign

  std::deque<EntryPtr> renewals;  // that wait for their turn
  std::size_t renewing = 0;
  std::vector<EntryPtr> changed;
  std::unique_ptr<Clock::Alarm> flush;

  State(IdentitySource& from, EventLoop& on, Clock& by, SvidCacheOptions with, Random drawn)
      : source(from), loop(on), clock(by), options(with), random(std::move(drawn)), schedule(by) {}

  Slot* Find(const Entry* entry) {
    const auto found = slots.find(entry);
    return found == slots.end() ? nullptr : found->second.get();
  }

  Slot& FindOrMake(const EntryPtr& entry) {
    std::unique_ptr<Slot>& slot = slots[entry.get()];
    if (!slot) {
      slot = std::make_unique<Slot>();
      slot->entry = entry;
    }
    return *slot;
  }

  void Erase(Slot& slot) {
    schedule.Remove(slot.entry.get());
    slots.erase(slot.entry.get());
  }

  // The SVID that may be shown now.
  CachedPtr Valid(const Slot& slot) const {
    return slot.current && IsValidAt(*slot.current, clock.WallNow()) ? slot.current : nullptr;
  }

  static nanoseconds Life(const Slot& slot) { return slot.current->not_after() - slot.current->issued; }

  // --- When to look at a slot again ---

  void Schedule(Slot& slot, WallTime due) {
    slot.due = due;
    schedule.Set(slot.entry.get(), due);
  }

  void SetAlarm() {
    alarm.reset();
    if (schedule.order().empty()) return;
    const MonoTime next = std::min<MonoTime>(schedule.order().begin()->first, clock.MonoNow() + kLookAgain);
    alarm = clock.CallAt(next, [this] { OnAlarm(); });
  }

  // An SVID that now lies in the future is as useless as one that has expired.
  void FollowClock() {
    const auto jump = schedule.FollowClock();
    if (!jump) return;
    LANYARD_LOG_WARN("the wall clock jumped by {} s; SVIDs are checked again",
                     std::chrono::duration_cast<seconds>(*jump).count());
    for (auto& [key, slot] : slots) {
      if (slot->current && !Valid(*slot)) Schedule(*slot, clock.WallNow());
    }
  }

  void OnAlarm() {
    FollowClock();
    const MonoTime now = clock.MonoNow();
    std::vector<EntryPtr> due;
    bool renewal_due = false;
    for (const auto& [when, key] : schedule.order()) {
      Slot& slot = *Find(key);
      if (when <= now) {
        due.push_back(slot.entry);
        renewal_due = renewal_due || slot.failures == 0;
        continue;
      }
      if (!renewal_due || when > now + BatchWindow(options.default_ttl)) break;
      if (!slot.current || slot.failures != 0 || slot.signing != 0) continue;
      if (when <= now + BatchWindow(Life(slot))) due.push_back(slot.entry);
    }
    for (const EntryPtr& entry : due) {
      if (Slot* slot = Find(entry.get())) OnDue(*slot);
    }
    StartRenewals();
    SetAlarm();
    FlushIfComplete();
  }

  void OnDue(Slot& slot) {
    schedule.Remove(slot.entry.get());
    if (slot.current && !Valid(slot)) Drop(slot);
    if (slot.holders == 0 && (!slot.asked || !slot.current) && slot.waiters.empty()) {
      // Nobody shows it and nobody has asked since it was made. What is being signed for it is thrown away on arrival.
      return Erase(slot);
    }
    if (slot.signing == 0 && !std::exchange(slot.queued, true)) renewals.push_back(slot.entry);
    if (slot.current) Schedule(slot, slot.current->not_after());  // whatever becomes of the renewal
  }

  void Drop(Slot& slot) {
    LANYARD_LOG_WARN("the {} of {} is not valid any more and could not be renewed{}{}", Kind::kName,
                     slot.entry->id.str(), slot.last_error.ok() ? "" : ": ", Message(slot.last_error));
    ++counted.expired;
    slot.current.reset();
    slot.tell = true;
    changed.push_back(slot.entry);
  }

  // --- Signing ---

  void StartRenewals() {
    while (!renewals.empty() && renewing < options.renewals_at_once) {
      const EntryPtr entry = std::move(renewals.front());
      renewals.pop_front();
      Slot* slot = Find(entry.get());
      if (slot == nullptr || !std::exchange(slot->queued, false)) continue;  // gone, or an asker was faster
      if (slot->signing == 0) Sign(*slot, Turn::kOfRenewals);
    }
  }

  // Whose place among those that are signed at once it takes.
  enum class Turn { kOfItsOwn, kOfRenewals };

  void Sign(Slot& slot, Turn turn) {
    const IssueCause cause = turn == Turn::kOfRenewals && slot.had ? IssueCause::kRenewal : IssueCause::kNew;
    slot.signing = ++last_signing;
    if (turn == Turn::kOfRenewals) ++renewing;
    const Entry& entry = *slot.entry;
    Kind::Issue(source,
                {.entry = slot.entry,
                 .ttl = std::min(options.default_ttl, entry.x509_ttl.value_or(options.default_ttl)),
                 .key_type = entry.key_type.value_or(options.default_key_type),
                 .cause = cause},
                [weak = this->weak_from_this(), held = slot.entry, signing = slot.signing, by = signer, cause,
                 turn](Result<typename Kind::Svid> svid) {
                  auto self = weak.lock();
                  if (!self) return;
                  if (turn == Turn::kOfRenewals) --self->renewing;
                  self->OnSigned(held, signing, by, cause, std::move(svid));
                });
  }

  void OnSigned(const EntryPtr& entry, std::uint64_t signing, std::uint64_t by, IssueCause cause,
                Result<typename Kind::Svid> svid) {
    FollowClock();  // Points are put in by the clock of now: the others have to be there before
    Slot* slot = Find(entry.get());
    std::vector<Done> waiters;
    Result<CachedPtr> answer = Error(StatusCode::kInternal, "no answer");
    if (slot != nullptr && slot->signing == signing) {
      slot->signing = 0;
      answer = Kind::Make(entry, std::move(svid), clock.WallNow(), ++last_version, random());
      waiters = std::exchange(slot->waiters, {});
      Count(cause, answer.ok());
      if (answer.ok()) {
        Take(*slot, *answer, by);
      } else {
        Fail(*slot, answer.status());
      }
    }
    StartRenewals();
    SetAlarm();
    for (Done& waiter : waiters) std::move(waiter)(answer);
    FlushIfComplete();
  }

  void Count(IssueCause cause, bool ok) {
    if (cause == IssueCause::kRenewal) {
      ++(ok ? counted.issued_renewal : counted.failed_renewal);
    } else {
      ++(ok ? counted.issued_new : counted.failed_new);
    }
  }

  void Take(Slot& slot, CachedPtr fresh, std::uint64_t by) {
    if (slot.failures > 0) LANYARD_LOG_INFO("{} has a new {} again", slot.entry->id.str(), Kind::kName);
    if (slot.current || slot.tell) changed.push_back(slot.entry);
    slot.current = std::move(fresh);
    slot.asked = false;
    slot.had = true;
    slot.tell = false;
    slot.queued = false;
    slot.failures = 0;
    slot.last_error = OkStatus();
    Schedule(slot, by == signer ? slot.current->renew_at : SoonAfterNewSigner(slot));
  }

  void Fail(Slot& slot, const Status& error) {
    if (slot.failures == 0) LANYARD_LOG_WARN("no new {} for {}: {}", Kind::kName, slot.entry->id.str(), Message(error));
    ++slot.failures;
    slot.last_error = error;
    if (slot.holders == 0 && !slot.current) return Erase(slot);
    slot.tell = true;
    WallTime again = clock.WallNow() + RetryWait(slot.failures, random());
    if (slot.current) again = std::min<WallTime>(again, slot.current->not_after());
    Schedule(slot, again);
  }

  WallTime SoonAfterNewSigner(const Slot& slot) {
    return clock.WallNow() + NewSignerWait(slot.current ? Life(slot) : nanoseconds(0), random());
  }

  void OnSignerChange() {
    FollowClock();
    ++signer;
    for (auto& [key, slot] : slots) {
      if (!schedule.Has(key)) continue;
      const bool urgent = slot->failures > 0 || !Valid(*slot);
      Schedule(*slot, urgent ? clock.WallNow() : SoonAfterNewSigner(*slot));
    }
    SetAlarm();
  }

  // --- Telling ---

  // Once everything that was begun together has come back, or has taken too long.
  void FlushIfComplete() {
    if (changed.empty()) return;
    if (renewing == 0 && renewals.empty()) return Flush();
    if (!flush) flush = clock.CallAfter(kLongestBatch, [this] { Flush(); });
  }

  void Flush() {
    const auto self = this->shared_from_this();  // a listener may end us
    flush.reset();
    const std::vector<EntryPtr> told = std::exchange(changed, {});
    for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i](told);
  }
};

template <class Kind>
EntrySvidCache<Kind>::EntrySvidCache(IdentitySource& source, EventLoop& loop, Clock& clock, SvidCacheOptions options,
                                     Random random)
    : state_(std::make_shared<State>(source, loop, clock, options, std::move(random))) {
  Kind::OnSignerChange(source, [weak = std::weak_ptr<State>(state_)] {
    if (auto state = weak.lock()) state->OnSignerChange();
  });
}

template <class Kind>
EntrySvidCache<Kind>::~EntrySvidCache() = default;

template <class Kind>
void EntrySvidCache<Kind>::Get(const EntryPtr& entry, Done done) {
  auto& slot = state_->FindOrMake(entry);
  slot.asked = true;
  if (CachedPtr valid = state_->Valid(slot)) {
    state_->loop.Post(
        [weak = std::weak_ptr<State>(state_), valid = std::move(valid), done = std::move(done)]() mutable {
          if (!weak.expired()) std::move(done)(std::move(valid));
        });
    return;
  }
  slot.waiters.push_back(std::move(done));
  if (slot.signing == 0) state_->Sign(slot, State::Turn::kOfItsOwn);
}

template <class Kind>
typename Kind::CachedPtr EntrySvidCache<Kind>::Peek(const EntryPtr& entry) {
  auto* slot = state_->Find(entry.get());
  if (slot == nullptr) return nullptr;
  slot->asked = true;
  return state_->Valid(*slot);
}

template <class Kind>
typename EntrySvidCache<Kind>::Hold EntrySvidCache<Kind>::Retain(const EntryPtr& entry) {
  ++state_->FindOrMake(entry).holders;
  Hold hold;
  hold.cache_ = state_;
  hold.entry_ = entry;
  return hold;
}

template <class Kind>
typename EntrySvidCache<Kind>::Hold& EntrySvidCache<Kind>::Hold::operator=(Hold&& other) noexcept {
  if (this != &other) {
    Release();
    cache_ = std::move(other.cache_);
    entry_ = std::move(other.entry_);
  }
  return *this;
}

template <class Kind>
void EntrySvidCache<Kind>::Hold::Release() {
  const EntryPtr entry = std::exchange(entry_, nullptr);
  const auto state = cache_.lock();
  if (!entry || !state) return;
  auto* slot = state->Find(entry.get());
  if (slot == nullptr || slot->holders == 0) return;
  // With an SVID it stays until renewal time: whoever comes back soon finds it.
  if (--slot->holders == 0 && !slot->current && slot->signing == 0) state->Erase(*slot);
}

template <class Kind>
void EntrySvidCache<Kind>::OnChange(ChangeListener listener) {
  state_->listeners.push_back(std::move(listener));
}

template <class Kind>
void EntrySvidCache<Kind>::Forget(const EntryPtr& entry) {
  auto* slot = state_->Find(entry.get());
  if (slot == nullptr) return;
  std::vector<Done> waiters = std::exchange(slot->waiters, {});
  const bool had = slot->current != nullptr;
  slot->current.reset();
  slot->signing = 0;  // what comes back is stale
  slot->failures = 0;
  slot->asked = false;
  slot->had = false;
  slot->queued = false;
  slot->tell = true;
  state_->schedule.Remove(entry.get());
  if (slot->holders == 0) state_->Erase(*slot);
  if (had) state_->changed.push_back(entry);
  state_->loop.Post(
      [weak = std::weak_ptr<State>(state_), waiters = std::move(waiters), id = entry->id.str()]() mutable {
        const auto state = weak.lock();
        if (!state) return;
        for (Done& waiter : waiters) {
          std::move(waiter)(
              Error(StatusCode::kPermissionDenied, "the identity {} was taken back while it was being signed", id));
        }
        state->FlushIfComplete();
      });
}

template <class Kind>
void EntrySvidCache<Kind>::SetOptions(SvidCacheOptions options) {
  state_->options = options;
}

template <class Kind>
std::size_t EntrySvidCache<Kind>::size() const {
  return state_->slots.size();
}

template <class Kind>
SvidCacheStats EntrySvidCache<Kind>::stats() const {
  SvidCacheStats stats = state_->counted;
  for (const auto& [key, slot] : state_->slots) {
    if (slot->holders == 0 || !slot->current) continue;
    const WallTime end = slot->current->not_after();
    stats.earliest_not_after = stats.earliest_not_after ? std::min(*stats.earliest_not_after, end) : end;
  }
  return stats;
}

template <class Kind>
HealthReport EntrySvidCache<Kind>::health() const {
  std::size_t failing = 0;
  const Slot<Kind>* first = nullptr;
  bool without = false;
  for (const auto& [key, slot] : state_->slots) {
    if (slot->failures == 0) continue;
    ++failing;
    without = without || !state_->Valid(*slot);
    if (first == nullptr || slot->due < first->due) first = slot.get();
  }
  if (first == nullptr) return {HealthLevel::kGood, fmt::format("{} {}s are kept.", state_->slots.size(), Kind::kName)};
  return {without ? HealthLevel::kBroken : HealthLevel::kDegraded,
          fmt::format("{} of {} SVIDs cannot be renewed{}, e.g. {}: {}.", failing, state_->slots.size(),
                      without ? " and some have expired" : " and the old ones are served", first->entry->id.str(),
                      Message(first->last_error))};
}

template class EntrySvidCache<X509Kind>;
template class EntrySvidCache<WitKind>;

}  // namespace lanyard
