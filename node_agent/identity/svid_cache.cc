#include "node_agent/identity/svid_cache.h"

#include <algorithm>
#include <deque>
#include <set>
#include <unordered_map>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/identity/text.h"

namespace lanyard {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// Renewal falls at half of the life, give or take a tenth of that half: between 45 % and 55 % of the life.
constexpr double kJitter = 0.1;
// What falls due within the next tenth of its life is renewed along: the width of the jitter, so that what was issued
// together is renewed together.
constexpr int kBatchFraction = 10;
constexpr seconds kFirstRetry{1};
constexpr seconds kLongestRetry{30};
constexpr seconds kLookAgain{60};  // the wall clock may have been set
constexpr seconds kClockJump{2};   // more than this between wall and boot clock is a jump, less is the kernel's slewing
constexpr seconds kSignerSpread{5};  // after another authority has begun to sign, all is renewed within this time
constexpr std::chrono::seconds kLongestBatch{
    1};  // changes are told after this time, even if some renewals are still out

nanoseconds Scale(nanoseconds duration, double factor) {
  return nanoseconds(static_cast<std::int64_t>(static_cast<double>(duration.count()) * factor));
}

bool IsValidAt(const X509Svid& svid, WallTime now) {
  return svid.not_before() <= now && now < svid.not_after();
}

enum class Purpose { kAsked, kRenewal };

struct Slot {
  EntryPtr entry;
  CachedSvidPtr current;
  bool asked = false;         // since `current` was made
  bool tell = false;          // the next success is a change for those who show the entry without an SVID
  std::uint64_t signing = 0;  // number of the signing under way; 0 if none. An answer with another number is stale
  std::size_t holders = 0;
  int failures = 0;  // since the last success
  Status last_error;
  WallTime due = WallTime::max();  // when to look at the slot again
  std::optional<MonoTime> scheduled;
  std::vector<SvidCache::Done> waiters;
};

}  // namespace

struct SvidCache::State : std::enable_shared_from_this<SvidCache::State> {
  IdentitySource& source;
  EventLoop& loop;
  Clock& clock;
  SvidCacheOptions options;
  Random random;
  std::vector<ChangeListener> listeners;

  std::unordered_map<const Entry*, std::unique_ptr<Slot>> slots;
  std::set<std::pair<MonoTime, const Entry*>> schedule;
  std::unique_ptr<Clock::Alarm> alarm;
  nanoseconds wall_minus_mono{0};

  std::uint64_t last_signing = 0;
  std::uint64_t last_version = 0;
  std::uint64_t signer = 0;  // rises when another authority begins to sign

  std::deque<EntryPtr> renewals;  // that wait for their turn
  std::size_t renewing = 0;
  std::vector<EntryPtr> changed;
  std::unique_ptr<Clock::Alarm> flush;

  State(IdentitySource& from, EventLoop& on, Clock& by, SvidCacheOptions with, Random drawn)
      : source(from), loop(on), clock(by), options(with), random(std::move(drawn)), wall_minus_mono(ClockOffset()) {}

  nanoseconds ClockOffset() const {
    return std::chrono::duration_cast<nanoseconds>(clock.WallNow().time_since_epoch()) -
           clock.MonoNow().time_since_epoch();
  }

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
    Unschedule(slot);
    slots.erase(slot.entry.get());
  }

  // The SVID that may be shown now.
  CachedSvidPtr Valid(const Slot& slot) const {
    return slot.current && IsValidAt(slot.current->svid, clock.WallNow()) ? slot.current : nullptr;
  }

  // --- When to look at a slot again ---

  void Unschedule(Slot& slot) {
    if (slot.scheduled) schedule.erase({*slot.scheduled, slot.entry.get()});
    slot.scheduled.reset();
  }

  void Schedule(Slot& slot, WallTime due) {
    Unschedule(slot);
    slot.due = due;
    const nanoseconds wait = std::max<nanoseconds>(due - clock.WallNow(), nanoseconds(0));
    slot.scheduled = clock.MonoNow() + wait;
    schedule.insert({*slot.scheduled, slot.entry.get()});
  }

  void SetAlarm() {
    alarm.reset();
    if (schedule.empty()) return;
    const MonoTime next = std::min(schedule.begin()->first, clock.MonoNow() + kLookAgain);
    alarm = clock.CallAt(next, [this] { OnAlarm(); });
  }

  // What is due is said in wall time, but waited for in boot time: after a jump of the wall clock all is counted again.
  void FollowClock() {
    const nanoseconds offset = ClockOffset();
    const nanoseconds jump = offset - wall_minus_mono;
    wall_minus_mono = offset;
    if (jump < kClockJump && jump > -kClockJump) return;
    LANYARD_LOG_WARN("the wall clock jumped by {} s; SVIDs are checked again",
                     std::chrono::duration_cast<seconds>(jump).count());
    const WallTime now = clock.WallNow();
    for (auto& [key, slot] : slots) {
      if (!slot->scheduled) continue;
      // One that now lies in the future is as useless as one that has expired.
      Schedule(*slot, slot->current && !IsValidAt(slot->current->svid, now) ? now : slot->due);
    }
  }

  void OnAlarm() {
    FollowClock();
    const MonoTime now = clock.MonoNow();
    std::vector<EntryPtr> due;
    bool renewal_due = false;
    for (const auto& [when, key] : schedule) {
      Slot& slot = *Find(key);
      if (when <= now) {
        due.push_back(slot.entry);
        renewal_due = renewal_due || slot.failures == 0;
        continue;
      }
      if (!renewal_due || when > now + std::chrono::duration_cast<nanoseconds>(options.default_ttl) / kBatchFraction)
        break;
      if (!slot.current || slot.failures != 0 || slot.signing != 0) continue;
      const nanoseconds life = slot.current->svid.not_after() - slot.current->issued;
      if (when <= now + life / kBatchFraction) due.push_back(slot.entry);
    }
    for (const EntryPtr& entry : due) {
      if (Slot* slot = Find(entry.get())) OnDue(*slot);
    }
    StartRenewals();
    SetAlarm();
    FlushIfComplete();
  }

  void OnDue(Slot& slot) {
    Unschedule(slot);
    if (slot.current && !Valid(slot)) Drop(slot);
    if (slot.holders == 0 && (!slot.asked || !slot.current) && slot.waiters.empty()) {
      // Nobody shows it and nobody has asked since it was made. What is being signed for it is thrown away on arrival.
      return Erase(slot);
    }
    if (slot.signing == 0) renewals.push_back(slot.entry);
    if (slot.current) Schedule(slot, slot.current->svid.not_after());  // whatever becomes of the renewal
  }

  void Drop(Slot& slot) {
    LANYARD_LOG_WARN("the SVID of {} has expired and could not be renewed{}{}", slot.entry->id.str(),
                     slot.last_error.ok() ? "" : ": ", Message(slot.last_error));
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
      if (slot != nullptr && slot->signing == 0) Sign(*slot, Purpose::kRenewal);
    }
  }

  void Sign(Slot& slot, Purpose purpose) {
    slot.signing = ++last_signing;
    if (purpose == Purpose::kRenewal) ++renewing;
    const Entry& entry = *slot.entry;
    source.Issue({.entry = slot.entry,
                  .ttl = std::min(options.default_ttl, entry.x509_ttl.value_or(options.default_ttl)),
                  .key_type = entry.key_type.value_or(options.default_key_type)},
                 [weak = weak_from_this(), held = slot.entry, signing = slot.signing, by = signer,
                  purpose](Result<X509Svid> svid) {
                   if (auto self = weak.lock()) self->OnSigned(held, signing, by, purpose, std::move(svid));
                 });
  }

  void OnSigned(const EntryPtr& entry, std::uint64_t signing, std::uint64_t by, Purpose purpose,
                Result<X509Svid> svid) {
    if (purpose == Purpose::kRenewal) --renewing;
    Slot* slot = Find(entry.get());
    std::vector<Done> waiters;
    Result<CachedSvidPtr> answer = Error(StatusCode::kInternal, "no answer");
    if (slot != nullptr && slot->signing == signing) {
      slot->signing = 0;
      answer = MakeCached(entry, std::move(svid));
      waiters = std::exchange(slot->waiters, {});
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

  // Checks what came against what was asked: the source may be far away.
  Result<CachedSvidPtr> MakeCached(const EntryPtr& entry, Result<X509Svid> svid) {
    if (!svid.ok()) return svid.status();
    const WallTime now = clock.WallNow();
    if (!(svid->id() == entry->id)) {
      return Error(StatusCode::kInternal, "asked for an SVID of {}, got one of {}", entry->id.str(), svid->id().str());
    }
    if (!IsValidAt(*svid, now)) {
      return Error(StatusCode::kUnavailable, "the new SVID of {} is not valid now ({}), but from {} to {}",
                   entry->id.str(), Utc(now), Utc(svid->not_before()), Utc(svid->not_after()));
    }
    ASSIGN_OR_RETURN(SecretBytes key, svid->key().ToPkcs8Der());
    std::string chain = svid->ChainDer();
    const double half = 0.5 * (1 + kJitter * (2 * random() - 1));
    const WallTime renew_at =
        now + std::chrono::duration_cast<WallTime::duration>(Scale(svid->not_after() - now, half));
    return std::make_shared<const CachedSvid>(CachedSvid{.svid = *std::move(svid),
                                                         .entry = entry,
                                                         .version = ++last_version,
                                                         .chain_der = std::move(chain),
                                                         .key_pkcs8 = std::move(key),
                                                         .issued = now,
                                                         .renew_at = renew_at});
  }

  void Take(Slot& slot, CachedSvidPtr fresh, std::uint64_t by) {
    if (slot.failures > 0) LANYARD_LOG_INFO("{} has a new SVID again", slot.entry->id.str());
    if (slot.current || slot.tell) changed.push_back(slot.entry);
    slot.current = std::move(fresh);
    slot.asked = false;
    slot.tell = false;
    slot.failures = 0;
    slot.last_error = OkStatus();
    Schedule(slot, by == signer ? slot.current->renew_at : SoonAfterNewSigner(slot));
  }

  void Fail(Slot& slot, const Status& error) {
    if (slot.failures == 0) LANYARD_LOG_WARN("no new SVID for {}: {}", slot.entry->id.str(), Message(error));
    ++slot.failures;
    slot.last_error = error;
    if (slot.holders == 0 && !slot.current) return Erase(slot);
    slot.tell = true;
    const auto doubled = kFirstRetry * (1 << std::min(slot.failures - 1, 5));
    const nanoseconds wait = Scale(std::min<seconds>(doubled, kLongestRetry), 0.75 + 0.25 * random());
    WallTime again = clock.WallNow() + std::chrono::duration_cast<WallTime::duration>(wait);
    if (slot.current) again = std::min<WallTime>(again, slot.current->svid.not_after());
    Schedule(slot, again);
  }

  WallTime SoonAfterNewSigner(const Slot& slot) {
    const WallTime now = clock.WallNow();
    nanoseconds spread = kSignerSpread;
    if (slot.current)
      spread = std::min<nanoseconds>(spread, (slot.current->svid.not_after() - slot.current->issued) / kBatchFraction);
    return now + std::chrono::duration_cast<WallTime::duration>(Scale(spread, random()));
  }

  void OnSignerChange() {
    ++signer;
    for (auto& [key, slot] : slots) {
      if (slot->scheduled) Schedule(*slot, slot->failures > 0 ? clock.WallNow() : SoonAfterNewSigner(*slot));
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
    const auto self = shared_from_this();  // a listener may end us
    flush.reset();
    const std::vector<EntryPtr> told = std::exchange(changed, {});
    for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i](told);
  }
};

SvidCache::SvidCache(IdentitySource& source, EventLoop& loop, Clock& clock, SvidCacheOptions options, Random random)
    : state_(std::make_shared<State>(source, loop, clock, options, std::move(random))) {
  source.OnSignerChange([weak = std::weak_ptr<State>(state_)] {
    if (auto state = weak.lock()) state->OnSignerChange();
  });
}

SvidCache::~SvidCache() = default;

void SvidCache::Get(const EntryPtr& entry, Done done) {
  Slot& slot = state_->FindOrMake(entry);
  slot.asked = true;
  if (CachedSvidPtr valid = state_->Valid(slot)) {
    state_->loop.Post(
        [weak = std::weak_ptr<State>(state_), valid = std::move(valid), done = std::move(done)]() mutable {
          if (!weak.expired()) std::move(done)(std::move(valid));
        });
    return;
  }
  slot.waiters.push_back(std::move(done));
  if (slot.signing == 0) state_->Sign(slot, Purpose::kAsked);
}

CachedSvidPtr SvidCache::Peek(const EntryPtr& entry) {
  Slot* slot = state_->Find(entry.get());
  if (slot == nullptr) return nullptr;
  slot->asked = true;
  return state_->Valid(*slot);
}

SvidCache::Hold SvidCache::Retain(const EntryPtr& entry) {
  ++state_->FindOrMake(entry).holders;
  Hold hold;
  hold.cache_ = state_;
  hold.entry_ = entry;
  return hold;
}

SvidCache::Hold& SvidCache::Hold::operator=(Hold&& other) noexcept {
  if (this != &other) {
    Release();
    cache_ = std::move(other.cache_);
    entry_ = std::move(other.entry_);
  }
  return *this;
}

void SvidCache::Hold::Release() {
  const EntryPtr entry = std::exchange(entry_, nullptr);
  const auto state = cache_.lock();
  if (!entry || !state) return;
  Slot* slot = state->Find(entry.get());
  if (slot == nullptr || slot->holders == 0) return;
  // With an SVID it stays until renewal time: whoever comes back soon finds it.
  if (--slot->holders == 0 && !slot->current && slot->signing == 0) state->Erase(*slot);
}

void SvidCache::OnChange(ChangeListener listener) {
  state_->listeners.push_back(std::move(listener));
}

void SvidCache::Forget(const EntryPtr& entry) {
  Slot* slot = state_->Find(entry.get());
  if (slot == nullptr) return;
  std::vector<Done> waiters = std::exchange(slot->waiters, {});
  const bool had = slot->current != nullptr;
  slot->current.reset();
  slot->signing = 0;  // what comes back is stale
  slot->failures = 0;
  slot->asked = false;
  slot->tell = true;
  state_->Unschedule(*slot);
  if (slot->holders == 0) state_->Erase(*slot);
  if (had) state_->changed.push_back(entry);
  const auto state = state_;
  state->loop.Post([state, waiters = std::move(waiters), id = entry->id.str()]() mutable {
    for (Done& waiter : waiters) {
      std::move(waiter)(
          Error(StatusCode::kPermissionDenied, "the identity {} was taken back while it was being signed", id));
    }
    state->FlushIfComplete();
  });
}

void SvidCache::SetOptions(SvidCacheOptions options) {
  state_->options = options;
}

std::size_t SvidCache::size() const {
  return state_->slots.size();
}

HealthReport SvidCache::health() const {
  std::size_t failing = 0;
  const Slot* first = nullptr;
  bool without = false;
  for (const auto& [key, slot] : state_->slots) {
    if (slot->failures == 0) continue;
    ++failing;
    without = without || !state_->Valid(*slot);
    if (first == nullptr || slot->due < first->due) first = slot.get();
  }
  if (first == nullptr) return {HealthLevel::kGood, fmt::format("{} SVIDs are kept.", state_->slots.size())};
  return {without ? HealthLevel::kBroken : HealthLevel::kDegraded,
          fmt::format("{} of {} SVIDs cannot be renewed{}, e.g. {}: {}.", failing, state_->slots.size(),
                      without ? " and some have expired" : " and the old ones are served", first->entry->id.str(),
                      Message(first->last_error))};
}

}  // namespace lanyard
