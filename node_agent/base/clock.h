// The one source of time: wall clock for what certificates say, boot clock for deadlines and alarms.
//
// Deadlines never use the wall clock, which jumps; the boot clock also counts while the machine sleeps, so that an
// alarm that fell due during a suspend fires at resume. Tests pass a FakeClock (tests/support/fake_clock.h) and move
// both by hand.
//
// Thread: WallNow and MonoNow from any thread; CallAt, CallAfter and the alarms on the loop thread only.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>

namespace lanyard {

class EventLoop;

using WallTime = std::chrono::system_clock::time_point;

// CLOCK_BOOTTIME as a std::chrono clock tag.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
};
using MonoTime = BootClock::time_point;
using Deadline = MonoTime;

class Clock {
 public:
  using Task = absl::AnyInvocable<void()>;
  // One pending call; destroying it cancels the call. The task may destroy its own alarm.
  struct Alarm {
    virtual ~Alarm() = default;
  };

  virtual ~Clock() = default;
  virtual WallTime WallNow() const = 0;
  virtual MonoTime MonoNow() const = 0;
  // Calls `task` once at `when`, never before CallAt has returned; at once when `when` has passed.
  [[nodiscard]] virtual std::unique_ptr<Alarm> CallAt(MonoTime when, Task task) = 0;

  [[nodiscard]] std::unique_ptr<Alarm> CallAfter(std::chrono::nanoseconds delay, Task task) {
    return CallAt(MonoNow() + delay, std::move(task));
  }
};

// The machine's clocks; alarms fire on `loop`. Ends the process when the kernel gives no timer (before anything is
// served).
std::unique_ptr<Clock> MakeSystemClock(EventLoop& loop);

}  // namespace lanyard
