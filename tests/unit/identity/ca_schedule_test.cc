#include "node_agent/identity/ca_schedule.h"

#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

const WallTime kStart{std::chrono::seconds(1767225600)};
const RootSettings kSettings{.trust_domain = ExampleOrg(), .key_type = KeyType::kEcP256, .ttl = 600s};

CaState Take(CaStep step, const CaState& state, WallTime now, std::optional<WallTime> latest = std::nullopt) {
  return TakeStep(step, state, kSettings, now, latest).value();
}
CaState FirstRoot() {
  return Take(CaStep::kMakeActive, CaState{{}, 60s}, kStart);
}

TEST(CaScheduleTest, WithoutARootOneIsMadeThatSignsAtOnce) {
  EXPECT_EQ(NextStep(CaState{}, kStart), CaStep::kMakeActive);
  const CaState state = FirstRoot();
  ASSERT_NE(state.Active(), nullptr);
  EXPECT_EQ(state.Active()->certificate.not_after(), kStart + 600s);
  EXPECT_EQ(NextStep(state, kStart), std::nullopt);
}

TEST(CaScheduleTest, TheNextRootIsMadeAtHalfAndSignsFromFiveSixths) {
  CaState state = FirstRoot();
  EXPECT_EQ(NextEvent(state, kStart), kStart + 300s);
  EXPECT_EQ(NextStep(state, kStart + 299s), std::nullopt);
  ASSERT_EQ(NextStep(state, kStart + 300s), CaStep::kMakePrepared);
  const std::string first = state.Active()->id;
  state = Take(CaStep::kMakePrepared, state, kStart + 300s);
  EXPECT_EQ(state.authorities.size(), 2u);
  EXPECT_EQ(state.Active()->id, first);
  EXPECT_EQ(NextEvent(state, kStart + 300s), kStart + 500s);
  EXPECT_EQ(NextStep(state, kStart + 499s), std::nullopt);
  ASSERT_EQ(NextStep(state, kStart + 500s), CaStep::kPromote);
  state = Take(CaStep::kPromote, state, kStart + 500s);
  EXPECT_NE(state.Active()->id, first);
  EXPECT_EQ(state.authorities[0].phase, AuthorityPhase::kRetired);
  EXPECT_EQ(state.authorities[0].keep_until, kStart + 560s) << "its last SVID lives 60 s";
  EXPECT_EQ(NextStep(state, kStart + 559s), std::nullopt);
  EXPECT_EQ(NextStep(state, kStart + 560s), CaStep::kDropExpired);
  EXPECT_EQ(Take(CaStep::kDropExpired, state, kStart + 560s).authorities.size(), 1u);
}

TEST(CaScheduleTest, ARetiredRootStaysAsLongAsTheLatestLeafThatItSigned) {
  const CaState state = Take(CaStep::kMakeActive, FirstRoot(), kStart + 10s, kStart + 200s);
  EXPECT_EQ(state.authorities[0].keep_until, kStart + 200s);
}

TEST(CaScheduleTest, ARetiredRootNeverStaysLongerThanItIsValid) {
  CaState state = FirstRoot();
  state.longest_lifetime = 24h;
  EXPECT_EQ(Take(CaStep::kMakeActive, state, kStart + 10s).authorities[0].keep_until, kStart + 600s);
}

TEST(CaScheduleTest, AfterAStopPastFiveSixthsANewRootSignsAtOnce) {
  EXPECT_EQ(NextStep(FirstRoot(), kStart + 550s), CaStep::kMakeActive);
  const CaState prepared = Take(CaStep::kMakePrepared, FirstRoot(), kStart + 300s);
  EXPECT_EQ(NextStep(prepared, kStart + 550s), CaStep::kPromote);
}

TEST(CaScheduleTest, AfterAStopPastTheEndOfEverythingANewRootReplacesAll) {
  CaState state = Take(CaStep::kMakePrepared, FirstRoot(), kStart + 300s);
  const WallTime now = kStart + 24h;
  ASSERT_EQ(NextStep(state, now), CaStep::kMakeActive);
  state = Take(CaStep::kMakeActive, state, now);
  ASSERT_EQ(NextStep(state, now), CaStep::kDropExpired);
  state = Take(CaStep::kDropExpired, state, now);
  EXPECT_EQ(state.authorities.size(), 1u);
  EXPECT_EQ(NextStep(state, now), std::nullopt);
}

TEST(CaScheduleTest, ARootFromTheFutureDoesNotSign) {
  EXPECT_EQ(NextStep(FirstRoot(), kStart - 24h), CaStep::kMakeActive);
  EXPECT_EQ(NextStep(FirstRoot(), kStart - 60s), std::nullopt) << "a small step backwards is covered by the backdating";
}

TEST(CaScheduleTest, RotationByHandPromotesWhatIsPreparedAndElseMakesARoot) {
  EXPECT_EQ(RotationStep(FirstRoot(), kStart), CaStep::kMakeActive);
  EXPECT_EQ(RotationStep(Take(CaStep::kMakePrepared, FirstRoot(), kStart + 300s), kStart + 301s), CaStep::kPromote);
}

TEST(CaScheduleTest, ComesToRestAtEveryInstantOfALongLife) {
  CaState state{{}, 60s};
  for (WallTime now = kStart; now < kStart + 2h; now += 7s) {
    int steps = 0;
    while (const auto step = NextStep(state, now)) {
      ASSERT_LT(++steps, 5);
      state = Take(*step, state, now);
    }
    ASSERT_NE(state.Active(), nullptr);
    ASSERT_TRUE(IsValidAt(state.Active()->certificate, now + 60s)) << "a whole leaf fits before the end";
    ASSERT_LE(state.authorities.size(), 3u);
    ASSERT_GT(NextEvent(state, now), now);
  }
}

}  // namespace
}  // namespace lanyard::testing
