#include "node_agent/base/clock.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cstdint>
#include <cstdlib>

#include "node_agent/base/alarm_queue.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/uv_handle.h"

namespace lanyard {
namespace {

// One timerfd on CLOCK_BOOTTIME for all alarms, armed for the earliest.
class SystemClock : public Clock {
 public:
  explicit SystemClock(EventLoop& loop) : timer_(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {
    if (!timer_ || uv_poll_init(loop.native(), poll_.get(), timer_.get()) != 0) std::abort();
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      if (auto* self = Owner<SystemClock>(handle)) self->OnTimer();
    });
    uv_unref(reinterpret_cast<uv_handle_t*>(poll_.get()));
  }

  WallTime WallNow() const override { return std::chrono::system_clock::now(); }

  MonoTime MonoNow() const override {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return MonoTime(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
  }

  std::unique_ptr<Alarm> CallAt(MonoTime when, Task task) override {
    auto alarm = alarms_.Add(when, std::move(task));
    if (!armed_ || when < *armed_) Arm(when);
    return alarm;
  }

 private:
  void Arm(MonoTime when) {
    const auto since_boot =
        when.time_since_epoch() <= std::chrono::nanoseconds(0) ? std::chrono::nanoseconds(1) : when.time_since_epoch();
    itimerspec spec{};
    spec.it_value.tv_sec = since_boot.count() / 1'000'000'000;
    spec.it_value.tv_nsec = since_boot.count() % 1'000'000'000;
    timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
    armed_ = when;
  }

  void OnTimer() {
    uint64_t expirations = 0;
    if (read(timer_.get(), &expirations, sizeof expirations) < 0) return;  // re-armed meanwhile
    armed_.reset();
    const MonoTime now = MonoNow();  // alarms set from now on wait for the next round
    while (alarms_.RunOneDue(now)) {
    }
    if (auto next = alarms_.Next()) Arm(*next);
  }

  UniqueFd timer_;
  UvHandle<uv_poll_t> poll_{this};
  AlarmQueue alarms_;
  std::optional<MonoTime> armed_;
};

}  // namespace

std::unique_ptr<Clock> MakeSystemClock(EventLoop& loop) {
  return std::make_unique<SystemClock>(loop);
}

}  // namespace lanyard
