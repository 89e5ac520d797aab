#include "node_agent/base/clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "node_agent/base/event_loop.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

TEST(FakeClockTest, RunsAlarmsInOrderEachAtItsOwnTime) {
  FakeClock clock;
  const MonoTime start = clock.MonoNow();
  std::vector<int> after;
  const auto note = [&] {
    after.push_back(static_cast<int>(std::chrono::duration_cast<seconds>(clock.MonoNow() - start).count()));
  };
  auto second = clock.CallAfter(seconds(20), note);
  auto first = clock.CallAfter(seconds(10), note);
  auto later = clock.CallAfter(seconds(31), note);
  clock.Advance(seconds(30));
  EXPECT_THAT(after, ElementsAre(10, 20));
  EXPECT_EQ(clock.MonoNow() - start, seconds(30));
}

TEST(FakeClockTest, RunsAnAlarmThatAnAlarmSetsWhenItIsDueToo) {
  FakeClock clock;
  int calls = 0;
  std::unique_ptr<Clock::Alarm> alarm;
  std::function<void()> again = [&] {
    if (++calls < 3) alarm = clock.CallAfter(seconds(1), again);
  };
  alarm = clock.CallAfter(seconds(1), again);
  clock.Advance(seconds(2));
  EXPECT_EQ(calls, 2);
}

TEST(AlarmTest, IsCancelledByDestruction) {
  FakeClock clock;
  bool rang = false;
  clock.CallAfter(seconds(1), [&] { rang = true; }).reset();
  clock.Advance(seconds(2));
  EXPECT_FALSE(rang);
  EXPECT_FALSE(clock.NextAlarm());
}

TEST(AlarmTest, MayBeDestroyedByItsOwnTaskOrByAnotherOfTheSameInstant) {
  FakeClock clock;
  std::unique_ptr<Clock::Alarm> self;
  std::unique_ptr<Clock::Alarm> other;
  bool other_rang = false;
  self = clock.CallAfter(seconds(1), [&] {
    self.reset();
    other.reset();
  });
  other = clock.CallAfter(seconds(1), [&] { other_rang = true; });
  clock.Advance(seconds(1));
  EXPECT_FALSE(other_rang);
}

TEST(AlarmTest, MayOutliveItsCallWithoutHarm) {
  FakeClock clock;
  auto alarm = clock.CallAfter(seconds(1), [] {});
  clock.Advance(seconds(1));
  alarm.reset();
}

TEST(FakeClockTest, AJumpOfTheWallClockMovesNoDeadline) {
  FakeClock clock;
  bool rang = false;
  auto alarm = clock.CallAfter(seconds(10), [&] { rang = true; });
  const WallTime before = clock.WallNow();
  clock.JumpWall(hours(24));
  clock.Advance(seconds(9));
  EXPECT_FALSE(rang);
  EXPECT_EQ(clock.WallNow() - before, hours(24) + seconds(9));
}

TEST(SystemClockTest, RingsInOrderAndNeverEarly) {
  EventLoop loop;
  auto clock = MakeSystemClock(loop);
  std::vector<int> order;
  const MonoTime start = clock->MonoNow();
  MonoTime rang;
  auto late = clock->CallAfter(milliseconds(20), [&] {
    order.push_back(2);
    rang = clock->MonoNow();
  });
  auto early = clock->CallAfter(milliseconds(5), [&] { order.push_back(1); });
  EXPECT_TRUE(RunUntil(loop, [&] { return order.size() == 2; }));
  EXPECT_THAT(order, ElementsAre(1, 2));
  EXPECT_GE(rang - start, milliseconds(20));
}

TEST(SystemClockTest, CallsSoonWhenTheTimeHasPassedButNotAtOnce) {
  EventLoop loop;
  auto clock = MakeSystemClock(loop);
  bool rang = false;
  auto alarm = clock->CallAt(MonoTime(seconds(-5)), [&] { rang = true; });
  EXPECT_FALSE(rang);
  EXPECT_TRUE(RunUntil(loop, [&] { return rang; }));
}

TEST(SystemClockTest, RingsForAnAlarmThatIsSetByAnAlarm) {
  EventLoop loop;
  auto clock = MakeSystemClock(loop);
  bool rang = false;
  std::unique_ptr<Clock::Alarm> inner;
  auto outer =
      clock->CallAfter(milliseconds(1), [&] { inner = clock->CallAfter(milliseconds(1), [&] { rang = true; }); });
  EXPECT_TRUE(RunUntil(loop, [&] { return rang; }));
}

TEST(SystemClockTest, StillRingsForTheOthersWhenTheEarliestIsCancelled) {
  EventLoop loop;
  auto clock = MakeSystemClock(loop);
  bool rang = false;
  auto cancelled = clock->CallAfter(milliseconds(1), [] { FAIL() << "cancelled"; });
  auto kept = clock->CallAfter(milliseconds(3), [&] { rang = true; });
  cancelled.reset();
  EXPECT_TRUE(RunUntil(loop, [&] { return rang; }));
}

}  // namespace
}  // namespace lanyard
