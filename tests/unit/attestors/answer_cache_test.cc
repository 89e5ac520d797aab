#include "attestors/answer_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "tests/support/fake_clock.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

struct Facts {
  std::string image;
};
using Cache = AnswerCache<Facts>;

class AnswerCacheTest : public testing::Test {
 protected:
  // The runtime: every question waits here until the test answers it.
  struct Question {
    int asked = 0;
    int cancelled = 0;
    Cache::Found found;  // empty: nothing is under way
  };

  std::unique_ptr<Cache::Ticket> Find(const std::string& id) {
    return cache_.Find(id, [this](Result<Cache::FactsPtr> answer) { answers_.push_back(Text(answer)); });
  }

  void Answer(const std::string& id, Result<Facts> facts) {
    auto found = std::exchange(runtime_[id].found, nullptr);
    ASSERT_TRUE(found) << "nobody asked about " << id;
    std::move(found)(std::move(facts));
  }

  void Learn(const std::string& id, const std::string& image) {
    const auto ticket = Find(id);
    Answer(id, Facts{image});
  }

  static std::string Text(const Result<Cache::FactsPtr>& answer) {
    return answer.ok() ? (*answer)->image : std::string(Message(answer.status()));
  }

  std::map<std::string, Question> runtime_;
  std::vector<std::string> answers_;
  FakeClock clock_;
  Cache cache_{clock_,
               [this](const std::string& id, Cache::Found found) {
                 Question& question = runtime_[id];
                 ++question.asked;
                 question.found = std::move(found);
                 return std::shared_ptr<void>(&question, [](void* raw) {
                   auto* asked = static_cast<Question*>(raw);
                   if (std::exchange(asked->found, nullptr)) ++asked->cancelled;
                 });
               },
               {.keep = seconds(5), .answers = 3}};
};

TEST_F(AnswerCacheTest, AsksOnceForAllWhoWaitForOneContainer) {
  const auto a1 = Find("a");
  const auto a2 = Find("a");
  const auto b = Find("b");
  EXPECT_EQ(runtime_["a"].asked, 1);
  EXPECT_EQ(runtime_["b"].asked, 1);
  EXPECT_TRUE(answers_.empty());
  Answer("a", Facts{"busybox"});
  EXPECT_EQ(answers_, (std::vector<std::string>{"busybox", "busybox"}));
  Answer("b", Facts{"nginx"});
  EXPECT_EQ(answers_.back(), "nginx");
}

TEST_F(AnswerCacheTest, KeepsAnAnswerForItsTimeAndNoLonger) {
  Learn("a", "busybox");
  clock_.Advance(seconds(5) - std::chrono::nanoseconds(1));
  const auto facts = cache_.Cached("a");
  ASSERT_NE(facts, nullptr);
  EXPECT_EQ(facts->image, "busybox");
  EXPECT_EQ(cache_.Cached("b"), nullptr);
  clock_.Advance(std::chrono::nanoseconds(1));
  EXPECT_EQ(cache_.Cached("a"), nullptr);
}

TEST_F(AnswerCacheTest, ReleasesWhatItKeptWhenItsTimeIsOverThoughNobodyAsks) {
  Learn("a", "busybox");
  clock_.Advance(seconds(2));
  Learn("b", "nginx");
  const std::weak_ptr<const Facts> a = cache_.Cached("a");
  const std::weak_ptr<const Facts> b = cache_.Cached("b");
  clock_.Advance(seconds(3));
  EXPECT_TRUE(a.expired());
  EXPECT_FALSE(b.expired());
  clock_.Advance(seconds(2));
  EXPECT_TRUE(b.expired());
  EXPECT_FALSE(clock_.NextAlarm().has_value());
}

TEST_F(AnswerCacheTest, KeepsABoundedNumberAndDropsTheOldest) {
  for (const char* id : {"a", "b", "c", "a", "d"}) Learn(id, id);
  EXPECT_EQ(cache_.Cached("b"), nullptr);
  for (const char* id : {"c", "a", "d"}) EXPECT_NE(cache_.Cached(id), nullptr) << id;
  clock_.Advance(seconds(5));
  for (const char* id : {"c", "a", "d"}) EXPECT_EQ(cache_.Cached(id), nullptr) << id;
}

TEST_F(AnswerCacheTest, GivesAnErrorToAllWhoWaitAndAsksAgainForTheNext) {
  const auto a1 = Find("a");
  const auto a2 = Find("a");
  Answer("a", Error(StatusCode::kUnavailable, "socket is away"));
  EXPECT_EQ(answers_, (std::vector<std::string>{"socket is away", "socket is away"}));
  EXPECT_EQ(cache_.Cached("a"), nullptr);
  Learn("a", "busybox");
  EXPECT_EQ(runtime_["a"].asked, 2);
  EXPECT_EQ(answers_.back(), "busybox");
}

TEST_F(AnswerCacheTest, ForgetsWhoHasLostInterestAndAnswersTheOthers) {
  auto leaves = Find("a");
  const auto stays = Find("a");
  leaves.reset();
  EXPECT_EQ(runtime_["a"].cancelled, 0);
  Answer("a", Facts{"busybox"});
  EXPECT_EQ(answers_, std::vector<std::string>{"busybox"});
}

TEST_F(AnswerCacheTest, CancelsTheLookupThatNobodyWaitsForAnyMore) {
  auto one = Find("a");
  auto two = Find("a");
  one.reset();
  two.reset();
  EXPECT_EQ(runtime_["a"].cancelled, 1);
  EXPECT_TRUE(answers_.empty());
  const auto again = Find("a");
  EXPECT_EQ(runtime_["a"].asked, 2);
}

TEST_F(AnswerCacheTest, ACallbackMayDropOthersWhoWaitAndAskAgain) {
  std::unique_ptr<Cache::Ticket> second, third;
  int second_answers = 0;
  const auto first = cache_.Find("a", [&](Result<Cache::FactsPtr>) {
    second.reset();
    third = Find("a");
  });
  second = cache_.Find("a", [&](Result<Cache::FactsPtr>) { ++second_answers; });
  Answer("a", Error(StatusCode::kUnavailable, "socket is away"));
  EXPECT_EQ(second_answers, 0);
  Answer("a", Facts{"busybox"});
  EXPECT_EQ(answers_, std::vector<std::string>{"busybox"});
}

TEST_F(AnswerCacheTest, CancelsWhatIsUnderWayWhenItGoes) {
  std::optional<Cache> cache;
  bool cancelled = false;
  cache.emplace(clock_, [&](const std::string&, Cache::Found) {
    return std::shared_ptr<void>(&cancelled, [](void* raw) { *static_cast<bool*>(raw) = true; });
  });
  const auto ticket = cache->Find("a", [](Result<Cache::FactsPtr>) { FAIL() << "answered"; });
  cache.reset();
  EXPECT_TRUE(cancelled);
}

}  // namespace
}  // namespace lanyard
