#include "node_agent/base/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

using testing::ElementsAre;

TEST(EventLoopTest, RunsTasksInTheOrderOfPosting) {
  EventLoop loop;
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) loop.Post([&order, i] { order.push_back(i); });
  loop.Post([&loop] { loop.Stop(); });
  loop.Run();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(EventLoopTest, RunsATaskThatATaskPosts) {
  EventLoop loop;
  bool ran = false;
  loop.Post([&] { loop.Post([&] { ran = true; }); });
  EXPECT_TRUE(RunUntil(loop, [&] { return ran; }));
}

TEST(EventLoopTest, TakesTasksFromManyThreadsEachInItsOwnOrder) {
  EventLoop loop;
  constexpr int kThreads = 4;
  constexpr int kTasks = 500;
  std::vector<std::vector<int>> seen(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&loop, &seen, t] {
      for (int i = 0; i < kTasks; ++i) loop.Post([&seen, t, i] { seen[static_cast<size_t>(t)].push_back(i); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(RunUntilIdle(loop));
  for (const std::vector<int>& numbers : seen) {
    EXPECT_EQ(numbers.size(), static_cast<size_t>(kTasks));
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  }
}

TEST(EventLoopTest, CanRunAgainAfterStop) {
  EventLoop loop;
  int runs = 0;
  for (int i = 0; i < 2; ++i) {
    loop.Post([&] { ++runs; });
    loop.Stop();
    loop.Run();
  }
  EXPECT_EQ(runs, 2);
}

TEST(EventLoopTest, WorksInThePoolAndComesBackToTheLoopThread) {
  EventLoop loop;
  std::thread::id worker;
  bool back_on_loop = false;
  bool done = false;
  loop.RunInPool([&] { worker = std::this_thread::get_id(); },
                 [&] {
                   back_on_loop = loop.OnLoopThread();
                   done = true;
                 });
  EXPECT_TRUE(loop.HasPendingWork());
  EXPECT_TRUE(RunUntil(loop, [&] { return done; }));
  EXPECT_NE(worker, std::this_thread::get_id());
  EXPECT_TRUE(back_on_loop);
  EXPECT_FALSE(loop.HasPendingWork());
}

TEST(EventLoopTest, HandsTheResultOfWorkToItsCallbackEvenWhenItCannotBeCopied) {
  EventLoop loop;
  std::unique_ptr<int> result;
  loop.ComputeInPool([] { return std::make_unique<int>(7); },
                     [&](std::unique_ptr<int> value) { result = std::move(value); });
  EXPECT_TRUE(RunUntil(loop, [&] { return result != nullptr; }));
  EXPECT_EQ(*result, 7);
}

TEST(EventLoopTest, DestroysTasksThatNeverRan) {
  auto held = std::make_shared<int>(1);
  {
    EventLoop loop;
    loop.Post([held] { FAIL() << "the loop was never run"; });
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(EventLoopTest, WaitsForThePoolBeforeItIsDestroyed) {
  std::atomic<bool> finished = false;
  {
    EventLoop loop;
    loop.RunInPool(
        [&] {
          std::this_thread::sleep_for(std::chrono::milliseconds(20));  // long enough for the destructor to come first
          finished = true;
        },
        [] {});
  }
  EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace lanyard
