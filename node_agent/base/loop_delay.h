// How far the loop lags behind: an alarm each second, and by how much it came late.
//
// What blocks the loop (a slow callback, a starved machine) shows here before it shows as a time-out elsewhere.
//
// Lifetime: borrows the clock. Thread: loop.
#pragma once

#include <algorithm>
#include <memory>

#include "node_agent/base/clock.h"
#include "node_agent/base/histogram.h"

namespace lanyard {

class LoopDelay {
 public:
  explicit LoopDelay(Clock& clock) : clock_(clock) { SetAlarm(); }

  // In seconds.
  const Histogram& seconds() const { return seconds_; }

 private:
  static constexpr std::chrono::seconds kEvery{1};

  void SetAlarm() {
    const MonoTime due = clock_.MonoNow() + kEvery;
    alarm_ = clock_.CallAt(due, [this, due] {
      ObserveTime(seconds_, std::max<std::chrono::nanoseconds>(clock_.MonoNow() - due, std::chrono::nanoseconds(0)));
      SetAlarm();
    });
  }

  Clock& clock_;
  Histogram seconds_{LatencyBuckets()};
  std::unique_ptr<Clock::Alarm> alarm_;
};

}  // namespace lanyard
