#include "attestors/blocking_jobs.h"

#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

// Jobs of owner 1 that hang until the test lets them go, as a read from a dead file system does.
class BlockingJobsTest : public testing::Test {
 protected:
  ~BlockingJobsTest() override { LetGo(); }
  void Hang(BlockingJobs::Owner owner) {
    tickets_.push_back(jobs_.Submit(
        owner, [gate = gate_] { gate.wait(); }, [this] { ++hung_done_; }));
  }
  void LetGo() {
    if (!open_) release_.set_value();
    open_ = true;
  }

  std::promise<void> release_;
  std::shared_future<void> gate_ = release_.get_future().share();
  bool open_ = false;
  int hung_done_ = 0;
  EventLoop loop_;
  BlockingJobs jobs_{loop_, {.total = 3, .per_owner = 2}};
  std::vector<std::unique_ptr<BlockingJobs::Ticket>> tickets_;
};

TEST_F(BlockingJobsTest, WhatHangsStopsItsOwnerOnly) {
  for (int i = 0; i < 5; ++i) Hang(1);
  EXPECT_EQ(jobs_.running(), 2);
  int others = 0;
  for (int i = 0; i < 4; ++i)
    tickets_.push_back(jobs_.Submit(
        2, [] {}, [&] { ++others; }));
  ASSERT_TRUE(RunUntil(loop_, [&] { return others == 4; }));
  EXPECT_EQ(hung_done_, 0);
  LetGo();
  ASSERT_TRUE(RunUntil(loop_, [&] { return hung_done_ == 5; }));
  EXPECT_EQ(jobs_.running(), 0);
}

TEST_F(BlockingJobsTest, LeavesAThreadOfThePoolFree) {
  for (BlockingJobs::Owner owner = 1; owner <= 5; ++owner) Hang(owner);
  EXPECT_EQ(jobs_.running(), 3);
  bool signed_something = false;
  loop_.RunInPool([] {}, [&] { signed_something = true; });
  EXPECT_TRUE(RunUntil(loop_, [&] { return signed_something; }));
}

TEST_F(BlockingJobsTest, HoweverManyUidsHangThereArePlacesForWhatBelongsToNone) {
  BlockingJobs jobs(loop_, {.total = 3, .per_owner = 2, .of_uids = 2});
  for (BlockingJobs::Owner uid = 1; uid <= 5; ++uid) {
    tickets_.push_back(jobs.Submit(
        uid, [gate = gate_] { gate.wait(); }, [this] { ++hung_done_; }));
  }
  EXPECT_EQ(jobs.running(), 2);
  int others = 0;
  for (const BlockingJobs::Owner owner :
       {BlockingJobs::kUserDatabase, BlockingJobs::kKubelet, BlockingJobs::OfContainer("ab")}) {
    tickets_.push_back(jobs.Submit(
        owner, [] {}, [&] { ++others; }));
  }
  ASSERT_TRUE(RunUntil(loop_, [&] { return others == 3; }));
  LetGo();
  ASSERT_TRUE(RunUntil(loop_, [&] { return hung_done_ == 5; }));
  EXPECT_EQ(jobs.running(), 0);
}

// Into all of which one dead file system is mounted.
TEST_F(BlockingJobsTest, HoweverManyContainersHangThereArePlacesForTheOthers) {
  BlockingJobs jobs(loop_, {.total = 3, .per_owner = 2, .of_containers = 2});
  for (const char* id : {"a1", "b2", "c3", "d4"}) {
    tickets_.push_back(jobs.Submit(
        BlockingJobs::OfContainer(id), [gate = gate_] { gate.wait(); }, [this] { ++hung_done_; }));
  }
  EXPECT_EQ(jobs.running(), 2);
  int others = 0;
  for (const BlockingJobs::Owner owner :
       {BlockingJobs::Owner{1000}, BlockingJobs::kUserDatabase, BlockingJobs::kKubelet}) {
    tickets_.push_back(jobs.Submit(
        owner, [] {}, [&] { ++others; }));
  }
  ASSERT_TRUE(RunUntil(loop_, [&] { return others == 3; }));
  LetGo();
  ASSERT_TRUE(RunUntil(loop_, [&] { return hung_done_ == 4; }));
  EXPECT_EQ(jobs.running(), 0);
}

TEST_F(BlockingJobsTest, ADroppedTicketIsNeverAnswered) {
  bool answered = false;
  bool worked = false;
  Hang(1);
  Hang(1);
  auto waiting = jobs_.Submit(
      1, [&] { worked = true; }, [&] { answered = true; });
  waiting.reset();
  tickets_.erase(tickets_.begin());  // one that runs
  LetGo();
  ASSERT_TRUE(RunUntil(loop_, [&] { return jobs_.running() == 0; }));
  EXPECT_EQ(hung_done_, 1);
  EXPECT_FALSE(worked);
  EXPECT_FALSE(answered);
}

TEST_F(BlockingJobsTest, OwnersTakeTurns) {
  std::vector<int> order;
  Hang(7);  // two of three places are taken
  Hang(7);
  for (int i = 0; i < 3; ++i)
    tickets_.push_back(jobs_.Submit(
        1, [] {}, [&] { order.push_back(1); }));
  tickets_.push_back(jobs_.Submit(
      2, [] {}, [&] { order.push_back(2); }));
  ASSERT_TRUE(RunUntil(loop_, [&] { return order.size() == 4; }));
  EXPECT_EQ(order, (std::vector<int>{1, 1, 2, 1}));
}

TEST_F(BlockingJobsTest, MayBeDestroyedWhileJobsRun) {
  auto jobs = std::make_unique<BlockingJobs>(loop_, BlockingLimits{.total = 1, .per_owner = 1});
  bool answered = false;
  auto ticket = jobs->Submit(
      1, [gate = gate_] { gate.wait(); }, [&] { answered = true; });
  jobs.reset();
  LetGo();
  ASSERT_TRUE(RunUntilIdle(loop_));
  EXPECT_FALSE(answered);
}

TEST(DefaultBlockingLimitsTest, StaysBelowThePoolsSize) {
  setenv("UV_THREADPOOL_SIZE", "16", 1);
  EXPECT_EQ(DefaultBlockingLimits().total, 15);
  EXPECT_EQ(DefaultBlockingLimits().of_uids, 8);
  EXPECT_EQ(DefaultBlockingLimits().of_containers, 6);
  setenv("UV_THREADPOOL_SIZE", "1", 1);
  EXPECT_EQ(DefaultBlockingLimits().total, 1);
  EXPECT_EQ(DefaultBlockingLimits().per_owner, 1);
  EXPECT_EQ(DefaultBlockingLimits().of_uids, 1);
  EXPECT_EQ(DefaultBlockingLimits().of_containers, 1);
  unsetenv("UV_THREADPOOL_SIZE");
  EXPECT_EQ(DefaultBlockingLimits().total, 3);
}

}  // namespace
}  // namespace lanyard
