// What a service said of one thing, such as a container runtime of a container: asked once for all who wait, and kept
// for a few seconds.
//
// Two hundred processes of one container that connect at once cost the runtime one question. An answer may be kept
// where what it says does not change while the thing lives, or is seen soon enough; it is kept briefly, because it may
// hold secrets, and things come and go. Errors are not kept: the next who asks makes a new lookup.
//
// A lookup that nobody waits for any more is cancelled. A bounded number of answers is kept; the oldest goes first.
//
// Lifetime: the clock and all that `look_up` refers to outlive it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct AnswerCacheLimits {
  std::chrono::nanoseconds keep = std::chrono::seconds(5);
  size_t answers = 1024;
};

template <class Facts>
class AnswerCache {
 public:
  using FactsPtr = std::shared_ptr<const Facts>;
  // Asks the service about one, for as long as that is worth to any who may ask: others join. `found` runs once, never
  // before the function has returned, and may destroy what was returned; to destroy that earlier is to cancel.
  using Found = absl::AnyInvocable<void(Result<Facts>) &&>;
  using LookUp = absl::AnyInvocable<std::shared_ptr<void>(const std::string& id, Found found)>;

  // Destroy it to lose interest; `done` then never runs.
  struct Ticket {
    virtual ~Ticket() = default;
  };
  using Done = absl::AnyInvocable<void(Result<FactsPtr>) &&>;

  AnswerCache(Clock& clock, LookUp look_up, AnswerCacheLimits limits = {})
      : state_(std::make_shared<State>(clock, std::move(look_up), limits)) {}

  // From memory; null when the service has to be asked.
  FactsPtr Cached(const std::string& id) const {
    const auto found = state_->kept.find(id);
    return found == state_->kept.end() || found->second.until <= state_->clock.MonoNow() ? nullptr
                                                                                         : found->second.facts;
  }

  // Joins the lookup of this one that is under way, or starts one. `done` never runs before Find has returned, and may
  // destroy any ticket.
  [[nodiscard]] std::unique_ptr<Ticket> Find(const std::string& id, Done done) {
    auto claim = std::make_unique<Claim>();
    claim->state = state_;
    claim->id = id;
    claim->waiter = std::make_shared<Waiter>(Waiter{std::move(done)});
    state_->Join(id, claim->waiter);
    return claim;
  }

 private:
  struct Waiter {
    Done done;  // empty once called, or when nobody is interested any more
  };
  using WaiterPtr = std::shared_ptr<Waiter>;

  struct Flight {
    std::list<WaiterPtr> waiters;
    std::shared_ptr<void> lookup;
  };
  struct Kept {
    FactsPtr facts;
    MonoTime until;
    std::list<std::string>::iterator position;
  };

  struct State : std::enable_shared_from_this<State> {
    State(Clock& given_clock, LookUp given_look_up, AnswerCacheLimits given_limits)
        : clock(given_clock), look_up(std::move(given_look_up)), limits(given_limits) {}

    void Join(const std::string& id, const WaiterPtr& waiter) {
      Flight& flight = flights[id];
      flight.waiters.push_back(waiter);
      if (flight.lookup != nullptr) return;
      flight.lookup = look_up(id, [weak = this->weak_from_this(), id](Result<Facts> facts) {
        if (auto alive = weak.lock()) alive->OnFound(id, std::move(facts));
      });
    }

    void Leave(const std::string& id, const WaiterPtr& waiter) {
      waiter->done = nullptr;
      const auto found = flights.find(id);
      if (found == flights.end()) return;
      found->second.waiters.remove(waiter);
      if (!found->second.waiters.empty()) return;
      const Flight cancelled = std::move(found->second);
      flights.erase(found);
    }

    // The lookup goes before its waiters are called, and with it what called this.
    void OnFound(std::string id, Result<Facts> facts) {  // NOLINT(performance-unnecessary-value-param)
      const auto found = flights.find(id);
      if (found == flights.end()) return;
      const std::list<WaiterPtr> waiters = std::move(found->second.waiters);
      flights.erase(found);
      const Result<FactsPtr> answer = facts.ok() ? Result<FactsPtr>(std::make_shared<const Facts>(*std::move(facts)))
                                                 : Result<FactsPtr>(facts.status());
      if (answer.ok()) Keep(id, *answer);
      for (const WaiterPtr& waiter : waiters) {  // any of them may leave meanwhile
        if (Done done = std::exchange(waiter->done, nullptr)) std::move(done)(answer);
      }
    }

    void Keep(const std::string& id, FactsPtr facts) {
      if (limits.answers == 0) return;
      Drop(id);
      if (kept.size() >= limits.answers) Drop(by_age.front());
      by_age.push_back(id);
      kept.emplace(id, Kept{std::move(facts), clock.MonoNow() + limits.keep, std::prev(by_age.end())});
      if (by_age.size() == 1) WatchOldest();
    }

    void Drop(const std::string& id) {
      const auto found = kept.find(id);
      if (found == kept.end()) return;
      by_age.erase(found->second.position);  // `id` may lie in it
      kept.erase(found);
    }

    // All are kept equally long, so that the oldest is the first to go.
    void WatchOldest() {
      alarm = clock.CallAt(kept.at(by_age.front()).until, [this] {
        while (!by_age.empty() && kept.at(by_age.front()).until <= clock.MonoNow()) Drop(by_age.front());
        if (!by_age.empty()) WatchOldest();
      });
    }

    Clock& clock;
    LookUp look_up;
    const AnswerCacheLimits limits;
    std::unordered_map<std::string, Flight> flights;  // lookups under way, each with those who wait for it
    std::unordered_map<std::string, Kept> kept;
    std::list<std::string> by_age;  // ids of `kept`, the oldest first
    std::unique_ptr<Clock::Alarm> alarm;
  };

  struct Claim : Ticket {
    ~Claim() override {
      auto alive = state.lock();
      if (alive) alive->Leave(id, waiter);
    }
    std::weak_ptr<State> state;
    std::string id;
    WaiterPtr waiter;
  };

  std::shared_ptr<State> state_;
};

}  // namespace lanyard
