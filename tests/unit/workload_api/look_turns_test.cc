#include "workload_api/look_turns.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "tests/support/fake_clock.h"

namespace lanyard {
namespace {

class LookTurnsTest : public testing::Test {
 protected:
  struct One {
    std::unique_ptr<LookTurns::Turn> turn;
    bool begun = false;
  };

  One& Add(int owner) {
    auto one = std::make_unique<One>();
    One& added = *one;
    added.turn = turns_.Wait(&owners_[owner], [&added] { added.begun = true; });
    EXPECT_FALSE(added.begun) << "before Wait has returned";
    all_[owner].push_back(std::move(one));
    return added;
  }
  size_t Begun(int owner) const {
    size_t begun = 0;
    for (const auto& one : all_.at(owner)) begun += one->begun ? 1 : 0;
    return begun;
  }
  void Go() { clock_.Advance(std::chrono::nanoseconds(0)); }

  FakeClock clock_;
  LookTurns turns_{clock_};
  std::map<int, char> owners_;
  std::map<int, std::vector<std::unique_ptr<One>>> all_;
};

TEST_F(LookTurnsTest, OneOwnersHangingLooksLeaveRoomForOthers) {
  for (int i = 0; i < 100; ++i) Add(1);
  One& other = Add(2);
  Go();
  EXPECT_EQ(Begun(1), 8u);
  EXPECT_TRUE(other.begun);
}

TEST_F(LookTurnsTest, FewAreUnderWayHoweverManyOwnersThereAre) {
  for (int owner = 0; owner < 100; ++owner) Add(owner);
  Go();
  EXPECT_EQ(turns_.under_way(), 32u);
  EXPECT_EQ(turns_.waiting(), 68u);
}

TEST_F(LookTurnsTest, TheNextBeginsWhenOneIsOver) {
  for (int i = 0; i < 10; ++i) Add(1);
  Go();
  EXPECT_EQ(Begun(1), 8u);
  all_[1][0]->turn.reset();
  all_[1][1]->turn.reset();
  Go();
  EXPECT_EQ(Begun(1), 10u);
  EXPECT_EQ(turns_.under_way(), 8u);
  all_.clear();
  EXPECT_EQ(turns_.under_way(), 0u);
}

TEST_F(LookTurnsTest, WhoLeavesTheLineIsNotCalled) {
  for (int i = 0; i < 9; ++i) Add(1);
  One& last = Add(1);
  Go();
  last.turn.reset();
  for (int i = 0; i < 9; ++i) all_[1][i]->turn.reset();
  Go();
  EXPECT_FALSE(last.begun);
  EXPECT_EQ(turns_.waiting(), 0u);
}

TEST_F(LookTurnsTest, AnOwnerWhoseLastOneLeavesIsForgottenWhetherItHadBegunOrNot) {
  One& begun = Add(1);
  Go();
  One& waiting = Add(2);
  EXPECT_EQ(turns_.owners(), 2u);
  begun.turn.reset();
  waiting.turn.reset();
  Go();
  EXPECT_EQ(turns_.owners(), 0u);
}

TEST_F(LookTurnsTest, ALookThatIsOverAtOnceMakesRoomAtOnce) {
  int begun = 0;
  std::vector<std::unique_ptr<LookTurns::Turn>> turns(1000);
  for (auto& turn : turns) {
    turn = turns_.Wait(nullptr, [&] {
      ++begun;
      turn.reset();
    });
  }
  Go();
  EXPECT_EQ(begun, 1000);
}

}  // namespace
}  // namespace lanyard
