// Pending calls in the order in which they fall due: what the system clock and the tests' fake clock share.
//
// Thread: loop.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "node_agent/base/clock.h"

namespace lanyard {

class AlarmQueue {
 public:
  std::unique_ptr<Clock::Alarm> Add(MonoTime when, Clock::Task task) {
    auto alarm = std::make_unique<Pending>(*this);
    alarm->position = pending_.emplace(when, std::make_pair(alarm.get(), std::move(task)));
    alarm->queued = true;
    return alarm;
  }

  std::optional<MonoTime> Next() const {
    if (pending_.empty()) return std::nullopt;
    return pending_.begin()->first;
  }

  // Runs the earliest call if it is due at `now`; false when none is.
  bool RunOneDue(MonoTime now) {
    if (pending_.empty() || pending_.begin()->first > now) return false;
    auto first = pending_.begin();
    Clock::Task task = std::move(first->second.second);
    first->second.first->queued = false;
    pending_.erase(first);
    task();
    return true;
  }

 private:
  struct Pending;
  using Calls = std::multimap<MonoTime, std::pair<Pending*, Clock::Task>>;
  struct Pending : Clock::Alarm {
    explicit Pending(AlarmQueue& owner) : queue(owner) {}
    ~Pending() override {
      if (queued) queue.pending_.erase(position);
    }
    AlarmQueue& queue;
    Calls::iterator position;
    bool queued = false;
  };

  Calls pending_;
};

}  // namespace lanyard
