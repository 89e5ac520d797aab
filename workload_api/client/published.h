// The newest state of something that threads of its own find out, for any thread to read and to wait for.
//
// Thread: any. Reading never waits; changes are made one at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "workload_api/client/snapshot_cell.h"

namespace lanyard {

// Whoever says a longer one means "for ever", which no clock can say.
inline constexpr std::chrono::milliseconds kLongestWait = std::chrono::hours(24) * 365;

template <class State>
class Published {
 public:
  explicit Published(State first) : cell_(std::make_shared<const State>(std::move(first))) {}

  std::shared_ptr<const State> Read() const { return cell_.Read(); }

  // The state becomes what `change` makes of a copy of it.
  template <class Change>
  void Update(Change change) {
    const std::lock_guard lock(mutex_);
    State next = *cell_.Read();
    change(next);
    cell_.Replace(std::make_shared<const State>(std::move(next)));
    changed_.notify_all();
  }

  // The first state of which `done` is true, or the newest after `timeout` (at most kLongestWait).
  template <class Done>
  std::shared_ptr<const State> WaitFor(std::chrono::milliseconds timeout, Done done) const {
    const auto deadline = std::chrono::steady_clock::now() + std::min(timeout, kLongestWait);
    std::unique_lock lock(mutex_);
    std::shared_ptr<const State> state = cell_.Read();
    changed_.wait_until(lock, deadline, [&] {
      state = cell_.Read();
      return done(*state);
    });
    return state;
  }
  // Makes those who wait look again, for a condition that is not of the state alone.
  void Wake() const {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;  // held while the state is changed or waited for
  mutable std::condition_variable changed_;
  SnapshotCell<State> cell_;
};

}  // namespace lanyard
