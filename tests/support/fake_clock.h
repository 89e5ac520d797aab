// A clock that only moves when a test says so. Advance() runs the alarms that fall due, in order, each at its own time.
//
// Thread: the test's.
#pragma once

#include "node_agent/base/alarm_queue.h"
#include "node_agent/base/clock.h"

namespace lanyard {

class FakeClock : public Clock {
 public:
  // 2026-01-01T00:00:00Z unless told otherwise.
  explicit FakeClock(WallTime now = WallTime(std::chrono::seconds(1767225600))) : wall_(now) {}

  WallTime WallNow() const override { return wall_; }
  MonoTime MonoNow() const override { return mono_; }
  std::unique_ptr<Alarm> CallAt(MonoTime when, Task task) override { return alarms_.Add(when, std::move(task)); }

  void Advance(std::chrono::nanoseconds by) {
    const MonoTime end = mono_ + by;
    for (auto next = alarms_.Next(); next && *next <= end; next = alarms_.Next()) {
      if (*next > mono_) MoveTo(*next);
      alarms_.RunOneDue(mono_);
    }
    MoveTo(end);
  }

  // Only the wall clock jumps, as when somebody sets it.
  void JumpWall(std::chrono::seconds by) { wall_ += by; }

  std::optional<MonoTime> NextAlarm() const { return alarms_.Next(); }

 private:
  void MoveTo(MonoTime when) {
    wall_ += std::chrono::duration_cast<WallTime::duration>(when - mono_);
    mono_ = when;
  }

  WallTime wall_;
  MonoTime mono_{std::chrono::hours(1)};
  AlarmQueue alarms_;
};

}  // namespace lanyard
