// What the cache asks for anew and what as a renewal: a renewal may be handed out before it is on record, something new
// never. svid_cache_test.cc and recording_source_test.cc have the rest of the two.
#include "node_agent/identity/recording_source.h"
#include "node_agent/identity/svid_cache.h"
#include "tests/support/fake_records.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::SizeIs;

struct IssueCauseTest : ::testing::Test {
  World world;
  FakeSource signer{world.loop, world.clock};
  FakeStateStore state{world.loop};
  FakeAuditLog audit{world.loop};
  RecordingSource source{signer, state, audit, world.clock};
  SvidCache cache{source, world.loop, world.clock, SvidCacheOptions{.default_ttl = 1h}, [] { return 0.5; }};
  EntryPtr entry = MakeEntry("refund");
  SvidCache::Hold hold = cache.Retain(entry);

  // Asks for the entry's SVID; whether there was one.
  bool Ask() {
    std::optional<bool> answer;
    cache.Get(entry, [&](const Result<CachedSvidPtr>& got) { answer = got.ok(); });
    world.Settle();
    return answer.value();
  }
  // What each was for that was signed since the last look.
  std::vector<IssueCause> Causes() {
    std::vector<IssueCause> causes;
    for (const IssueRequest& request : std::exchange(signer.asked, {})) causes.push_back(request.cause);
    return causes;
  }
  void ExpectThatWithoutADiskEveryAttemptIsNew() {
    state.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
    EXPECT_FALSE(Ask());
    world.Pass(5s);
    EXPECT_THAT(Causes(), AllOf(SizeIs(Ge(3u)), Each(IssueCause::kNew)));
    EXPECT_EQ(cache.Peek(entry), nullptr) << "handed out without a record";
    EXPECT_EQ(source.unwritten(), 0u);
  }
};

TEST_F(IssueCauseTest, AnIdentityThatWasRefusedForWantOfARecordIsNewAtEveryFurtherAttempt) {
  ExpectThatWithoutADiskEveryAttemptIsNew();
}

TEST_F(IssueCauseTest, WhatFollowsAnSvidIsARenewalAlsoAfterThatHasExpired) {
  ASSERT_TRUE(Ask());
  world.Pass(31min, 30s);
  EXPECT_THAT(Causes(), ElementsAre(IssueCause::kNew, IssueCause::kRenewal));
  signer.failure = Error(StatusCode::kUnavailable, "no authority");
  world.Pass(61min, 30s);
  ASSERT_EQ(cache.Peek(entry), nullptr);
  EXPECT_THAT(Causes(), AllOf(SizeIs(Ge(3u)), Each(IssueCause::kRenewal)));
}

TEST_F(IssueCauseTest, AnIdentityThatWasTakenBackIsNewAgain) {
  ASSERT_TRUE(Ask());
  cache.Forget(entry);
  Causes();
  ExpectThatWithoutADiskEveryAttemptIsNew();
}

}  // namespace
}  // namespace lanyard::testing
