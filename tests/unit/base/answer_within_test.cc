#include "node_agent/base/answer_within.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_clock.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

class AnswerWithinTest : public testing::Test {
 protected:
  auto Ask() {
    return AnswerWithin(clock_, seconds(5), Error(StatusCode::kUnavailable, "late"),
                        [this](Status status) { answers_.push_back(std::move(status)); });
  }

  FakeClock clock_;
  std::vector<Status> answers_;
};

TEST_F(AnswerWithinTest, PassesOnWhatComesInTimeAndThenIsSilent) {
  auto answer = Ask();
  std::move(answer)(OkStatus());
  clock_.Advance(seconds(10));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_TRUE(answers_[0].ok());
}

TEST_F(AnswerWithinTest, AnswersForWhoeverIsLateAndDropsWhatComesAfter) {
  auto answer = Ask();
  clock_.Advance(seconds(6));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].code(), StatusCode::kUnavailable);
  std::move(answer)(OkStatus());
  EXPECT_EQ(answers_.size(), 1u);
}

TEST_F(AnswerWithinTest, NobodyIsCalledOnceTheAskIsGone) {
  { auto answer = Ask(); }
  clock_.Advance(seconds(10));
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace lanyard
