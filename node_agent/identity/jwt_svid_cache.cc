#include "node_agent/identity/jwt_svid_cache.h"

#include <algorithm>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/identity/renewal_times.h"

namespace lanyard {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kSweep{60};            // how long a token that has expired may still lie here
constexpr seconds kLongestLastCall{30};  // before its end a token is not handed out any more

// A token with less than a tenth of its life left may not reach whom it is for.
nanoseconds LastCall(nanoseconds life) {
  return std::min<nanoseconds>(life / 10, kLongestLastCall);
}

using Audiences = std::vector<std::string>;  // sorted, each once

struct Slot;
using Order = std::list<Slot*>;  // what was asked for last comes first

struct Slot {
  EntryPtr entry;
  Audiences audiences;
  std::optional<JwtSvid> current;
  WallTime issued, renew_at;
  std::uint64_t signing = 0;  // number of the signing under way; 0 if none. An answer with another number is stale
  int failures = 0;           // since the last success
  WallTime retry_at;          // after a failure
  std::vector<JwtSvidCache::Done> waiters;
  Order::iterator in_all, in_entry;
  std::size_t bytes = 0;
};

struct EntrySlots {
  std::map<Audiences, std::unique_ptr<Slot>> slots;
  Order order;
};

Status CheckAnswer(const JwtSvid& svid, const Slot& slot, WallTime now) {
  Audiences audiences = svid.audiences();
  std::sort(audiences.begin(), audiences.end());
  if (svid.id() != slot.entry->id || audiences != slot.audiences) {
    return Error(StatusCode::kInternal, "asked for a JWT-SVID of {}, got one of {} or for other audiences",
                 slot.entry->id.str(), svid.id().str());
  }
  if (svid.expires() <= now) {
    return Error(StatusCode::kUnavailable, "the new JWT-SVID of {} has expired already", slot.entry->id.str());
  }
  return OkStatus();
}

}  // namespace

struct JwtSvidCache::State : std::enable_shared_from_this<JwtSvidCache::State> {
  IdentitySource& source;
  EventLoop& loop;
  Clock& clock;
  JwtSvidCacheOptions options;
  Random random;

  std::unordered_map<const Entry*, EntrySlots> entries;
  Order order;
  std::size_t bytes = 0;
  std::uint64_t last_signing = 0;
  std::uint64_t signer = 0;  // rises when another key begins to sign
  JwtSvidCacheStats counted;
  std::unique_ptr<Clock::Alarm> sweep;

  State(IdentitySource& from, EventLoop& on, Clock& by, JwtSvidCacheOptions with, Random drawn)
      : source(from), loop(on), clock(by), options(with), random(std::move(drawn)) {}

  Slot* Find(const Entry* entry, const Audiences& audiences) {
    const auto slots = entries.find(entry);
    if (slots == entries.end()) return nullptr;
    const auto found = slots->second.slots.find(audiences);
    return found == slots->second.slots.end() ? nullptr : found->second.get();
  }

  Slot& FindOrMake(const EntryPtr& entry, Audiences audiences) {
    EntrySlots& of_entry = entries[entry.get()];
    std::unique_ptr<Slot>& slot = of_entry.slots[audiences];
    if (slot) {
      order.splice(order.begin(), order, slot->in_all);
      of_entry.order.splice(of_entry.order.begin(), of_entry.order, slot->in_entry);
      return *slot;
    }
    slot = std::make_unique<Slot>();
    slot->entry = entry;
    slot->audiences = std::move(audiences);
    slot->in_all = order.insert(order.begin(), slot.get());
    slot->in_entry = of_entry.order.insert(of_entry.order.begin(), slot.get());
    if (!sweep) SetSweep();
    return *slot;
  }

  void Erase(Slot& slot) {
    bytes -= slot.bytes;
    order.erase(slot.in_all);
    const auto of_entry = entries.find(slot.entry.get());
    of_entry->second.order.erase(slot.in_entry);
    const Audiences audiences = slot.audiences;  // the slot goes with its key
    of_entry->second.slots.erase(audiences);
    if (of_entry->second.slots.empty()) entries.erase(of_entry);
  }

  // --- What may be handed out ---

  // Not one from a future that the clock was wrong about, whose end is too far away.
  bool Valid(const Slot& slot, WallTime now) const {
    return slot.current && slot.issued <= now + kTokenLeeway &&
           now + LastCall(slot.current->expires() - slot.issued) < slot.current->expires();
  }

  void Get(const EntryPtr& entry, Audiences audiences, Done done) {
    Slot& slot = FindOrMake(entry, std::move(audiences));
    const WallTime now = clock.WallNow();
    if (Valid(slot, now)) {
      ++counted.hits;
      AnswerLater(*slot.current, std::move(done));
      if (slot.renew_at <= now && slot.signing == 0 && slot.retry_at <= now) Sign(slot, IssueCause::kRenewal);
      return;
    }
    slot.waiters.push_back(std::move(done));
    if (slot.signing != 0) {
      ++counted.shared;
      return;
    }
    Sign(slot, IssueCause::kNew);
  }

  void AnswerLater(Result<JwtSvid> answer, Done done) {
    loop.Post([weak = weak_from_this(), answer = std::move(answer), done = std::move(done)]() mutable {
      if (!weak.expired()) std::move(done)(std::move(answer));
    });
  }

  // --- Signing ---

  void Sign(Slot& slot, IssueCause cause) {
    slot.signing = ++last_signing;
    source.IssueJwt({.entry = slot.entry,
                     .audiences = slot.audiences,
                     .ttl = std::min(options.default_ttl, slot.entry->jwt_ttl.value_or(options.default_ttl)),
                     .cause = cause},
                    [weak = weak_from_this(), entry = slot.entry, audiences = slot.audiences, signing = slot.signing,
                     by = signer, cause](Result<JwtSvid> svid) {
                      if (auto self = weak.lock())
                        self->OnSigned(entry, audiences, signing, by, cause, std::move(svid));
                    });
  }

  void OnSigned(const EntryPtr& entry, const Audiences& audiences, std::uint64_t signing, std::uint64_t by,
                IssueCause cause, Result<JwtSvid> svid) {
    Slot* slot = Find(entry.get(), audiences);
    if (slot == nullptr || slot->signing != signing) return;
    slot->signing = 0;
    const WallTime now = clock.WallNow();
    if (svid.ok()) {
      if (Status checked = CheckAnswer(*svid, *slot, now); !checked.ok()) svid = std::move(checked);
    }
    const bool renewal = cause == IssueCause::kRenewal;
    std::vector<Done> waiters = std::exchange(slot->waiters, {});
    if (svid.ok()) {
      ++(renewal ? counted.issued_renewal : counted.issued_new);
      Take(*slot, *svid, by, now);
    } else {
      ++(renewal ? counted.failed_renewal : counted.failed_new);
      Fail(*slot, svid.status(), now);
    }
    const auto self = shared_from_this();  // an answer may end us
    for (Done& waiter : waiters) std::move(waiter)(svid);
  }

  void Take(Slot& slot, const JwtSvid& svid, std::uint64_t by, WallTime now) {
    bytes -= slot.bytes;
    slot.bytes = svid.token().size() + svid.claims().size() + sizeof(Slot);
    for (const std::string& audience : slot.audiences) slot.bytes += 3 * audience.size();
    bytes += slot.bytes;
    slot.current = svid;
    slot.issued = now;
    slot.renew_at = by == signer ? RenewalTime(now, svid.expires(), random()) : WallTime();
    slot.failures = 0;
    slot.retry_at = WallTime();
    MakeRoom(slot);
  }

  void Fail(Slot& slot, const Status& why, WallTime now) {
    if (slot.failures == 0) LANYARD_LOG_WARN("no new JWT-SVID for {}: {}", slot.entry->id.str(), Message(why));
    ++slot.failures;
    slot.retry_at = now + RetryWait(slot.failures, random());
    if (!Valid(slot, now)) Erase(slot);
  }

  // --- Making room ---

  // For what was just taken in, which stays itself.
  void MakeRoom(const Slot& newest) {
    Order& own = entries.find(newest.entry.get())->second.order;
    while (own.size() > options.most_per_entry && Evict(own, newest)) {
    }
    while (bytes > options.most_bytes && Evict(order, newest)) {
    }
  }

  // What was not asked for the longest and is not waited for.
  bool Evict(Order& from, const Slot& newest) {
    for (auto last = from.rbegin(); last != from.rend(); ++last) {
      Slot& slot = **last;
      if (&slot == &newest || slot.signing != 0) continue;
      if (Valid(slot, clock.WallNow())) ++counted.evicted;
      Erase(slot);
      return true;
    }
    return false;
  }

  void SetSweep() {
    sweep = clock.CallAfter(kSweep, [this] {
      const WallTime now = clock.WallNow();
      std::vector<Slot*> over;
      for (Slot* slot : order) {
        if (slot->signing == 0 && !Valid(*slot, now)) over.push_back(slot);
      }
      for (Slot* slot : over) Erase(*slot);
      sweep.reset();
      if (!order.empty()) SetSweep();
    });
  }

  void Forget(const EntryPtr& entry) {
    const auto found = entries.find(entry.get());
    if (found == entries.end()) return;
    const Order all = found->second.order;
    for (Slot* slot : all) {
      for (Done& waiter : slot->waiters) {
        AnswerLater(Error(StatusCode::kPermissionDenied,
                          "the identity {} was taken back while a token was being signed", entry->id.str()),
                    std::move(waiter));
      }
      Erase(*slot);
    }
  }
};

JwtSvidCache::JwtSvidCache(IdentitySource& source, EventLoop& loop, Clock& clock, JwtSvidCacheOptions options,
                           Random random)
    : state_(std::make_shared<State>(source, loop, clock, options, std::move(random))) {
  source.OnTokenSignerChange([weak = std::weak_ptr<State>(state_)] {
    if (const auto state = weak.lock()) {
      ++state->signer;
      for (Slot* slot : state->order) slot->renew_at = WallTime();
    }
  });
}

JwtSvidCache::~JwtSvidCache() = default;

void JwtSvidCache::Get(const EntryPtr& entry, std::vector<std::string> audiences, Done done) {
  if (audiences.empty()) {
    return state_->AnswerLater(Error(StatusCode::kInvalidArgument, "no audience is named"), std::move(done));
  }
  std::sort(audiences.begin(), audiences.end());
  audiences.erase(std::unique(audiences.begin(), audiences.end()), audiences.end());
  state_->Get(entry, std::move(audiences), std::move(done));
}

void JwtSvidCache::Forget(const EntryPtr& entry) {
  state_->Forget(entry);
}

void JwtSvidCache::SetOptions(JwtSvidCacheOptions options) {
  state_->options = options;
}

std::size_t JwtSvidCache::size() const {
  return state_->order.size();
}

std::size_t JwtSvidCache::bytes() const {
  return state_->bytes;
}

const JwtSvidCacheStats& JwtSvidCache::stats() const {
  return state_->counted;
}

}  // namespace lanyard
