#include "attestors/name_lookup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

std::atomic<int> g_asked{0};
std::atomic<bool> g_down{false};
std::atomic<int> g_groups_hang{0};

Result<Name> FakeDatabase(NameKind kind, uint32_t id) {
  ++g_asked;
  if (kind == NameKind::kGroup) g_groups_hang.wait(1);
  if (g_down) return Error(StatusCode::kUnavailable, "directory is away");
  if (id == 99) return Name();
  return Name(fmt::format("{}{}", kind == NameKind::kUser ? "u" : "g", id));
}

class NameLookupTest : public testing::Test {
 protected:
  NameLookupTest() {
    g_asked = 0;
    g_down = false;
  }
  ~NameLookupTest() override { LetGo(); }
  static void LetGo() {
    g_groups_hang = 0;
    g_groups_hang.notify_all();
  }
  Result<std::vector<Name>> Find(NameKind kind, std::vector<uint32_t> ids) {
    std::optional<Result<std::vector<Name>>> result;
    auto ticket =
        names_.Find(kind, std::move(ids), [&](Result<std::vector<Name>> names) { result = std::move(names); });
    EXPECT_FALSE(result.has_value());
    if (!RunUntil(loop_, [&] { return result.has_value(); })) return Error(StatusCode::kInternal, "no answer");
    return *std::move(result);
  }

  EventLoop loop_;
  FakeClock clock_;
  BlockingJobs jobs_{loop_, {.total = 3, .per_owner = 2}};
  NameLookup names_{jobs_, loop_, clock_, FakeDatabase};
};

TEST_F(NameLookupTest, ANumberWithoutANameIsAnAnswer) {
  const auto names = Find(NameKind::kGroup, {7, 99, 7});
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_EQ(*names, (std::vector<Name>{"g7", std::nullopt, "g7"}));
  EXPECT_EQ(g_asked, 2);
}

TEST_F(NameLookupTest, RemembersForAMinute) {
  ASSERT_TRUE(Find(NameKind::kUser, {1}).ok());
  EXPECT_TRUE(names_.Cached(NameKind::kUser, {1}).has_value());
  EXPECT_FALSE(names_.Cached(NameKind::kGroup, {1}).has_value());
  EXPECT_FALSE(names_.Cached(NameKind::kUser, {1, 2}).has_value());
  clock_.Advance(std::chrono::seconds(59));
  ASSERT_TRUE(Find(NameKind::kUser, {1}).ok());
  EXPECT_EQ(g_asked, 1);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_FALSE(names_.Cached(NameKind::kUser, {1}).has_value());
  ASSERT_TRUE(Find(NameKind::kUser, {1}).ok());
  EXPECT_EQ(g_asked, 2);
}

TEST_F(NameLookupTest, ADatabaseThatIsAwayIsAnErrorAndIsAskedAgain) {
  g_down = true;
  EXPECT_EQ(Find(NameKind::kUser, {1}).status().code(), StatusCode::kUnavailable);
  g_down = false;
  EXPECT_TRUE(Find(NameKind::kUser, {1}).ok());
}

TEST_F(NameLookupTest, AsksOnceForManyWhoAskAtOnce) {
  int answers = 0;
  std::vector<std::unique_ptr<NameLookup::Ticket>> tickets;
  for (int i = 0; i < 50; ++i) {
    tickets.push_back(
        names_.Find(NameKind::kUser, {1}, [&](Result<std::vector<Name>> names) { answers += names.ok() ? 1 : 0; }));
  }
  tickets.pop_back();  // loses interest
  ASSERT_TRUE(RunUntilIdle(loop_));
  EXPECT_EQ(answers, 49);
  EXPECT_EQ(g_asked, 1);
}

TEST_F(NameLookupTest, WhoIsInManyGroupsKeepsNobodyElseWaiting) {
  g_groups_hang = 1;
  std::vector<uint32_t> gids(1000);
  std::iota(gids.begin(), gids.end(), 1000u);
  std::optional<Result<std::vector<Name>>> of_groups;
  const auto ticket =
      names_.Find(NameKind::kGroup, gids, [&](Result<std::vector<Name>> names) { of_groups = std::move(names); });
  const auto of_user = Find(NameKind::kUser, {1});
  EXPECT_TRUE(of_user.ok()) << of_user.status();
  LetGo();
  ASSERT_TRUE(RunUntil(loop_, [&] { return of_groups.has_value(); }));
  ASSERT_TRUE(of_groups->ok()) << of_groups->status();
  ASSERT_EQ((*of_groups)->size(), 1000u);
  EXPECT_EQ((*of_groups)->back(), Name("g1999"));
}

TEST_F(NameLookupTest, OfTooManyTheOldestIsForgottenAndNotAll) {
  NameLookup few(jobs_, loop_, clock_, FakeDatabase, 2);
  for (const uint32_t id : {1u, 2u, 3u}) {
    bool answered = false;
    const auto ticket =
        few.Find(NameKind::kUser, {id}, [&](const Result<std::vector<Name>>& names) { answered = names.ok(); });
    ASSERT_TRUE(RunUntil(loop_, [&] { return answered; }));
    clock_.Advance(std::chrono::seconds(1));
  }
  EXPECT_FALSE(few.Cached(NameKind::kUser, {1}).has_value());
  EXPECT_TRUE(few.Cached(NameKind::kUser, {2, 3}).has_value());
}

TEST(LookUpNameTest, KnowsRootAndNotWhoIsNowhere) {
  EXPECT_EQ(*LookUpName(NameKind::kUser, 0), Name("root"));
  EXPECT_EQ(*LookUpName(NameKind::kGroup, 0), Name("root"));
  EXPECT_EQ(*LookUpName(NameKind::kUser, 3999999999), Name());
}

}  // namespace
}  // namespace lanyard
