#include "node_agent/identity/ca_schedule.h"

#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

const WallTime kStart{std::chrono::seconds(1767225600)};
const RootSettings kSettings{.trust_domain = ExampleOrg(), .key_type = KeyType::kEcP256, .ttl = 600s};

CaState Take(CaStep step, const CaState& state, WallTime now, std::optional<WallTime> latest = std::nullopt) {
  return TakeStep(step, state, kSettings, now, latest).value();
}
// Takes every step that has to be taken at `now`.
CaState Rest(CaState state, WallTime now) {
  for (int taken = 0; taken < 10; ++taken) {
    const auto step = NextStep(state, now);
    if (!step) return state;
    state = Take(*step, state, now);
  }
  ADD_FAILURE() << "does not come to rest";
  return state;
}
std::vector<std::string> Ids(const CaState& state) {
  std::vector<std::string> ids;
  for (const Authority& authority : state.authorities) ids.push_back(authority.id);
  return ids;
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

TEST(CaScheduleTest, ARootThatSignedOnWhileItWasRetiredStaysForThatToo) {
  const CaState before = FirstRoot();
  CaState state = Take(CaStep::kMakeActive, before, kStart + 10s);
  EXPECT_FALSE(KeepForLatest(state, before.Active(), std::nullopt));
  EXPECT_FALSE(KeepForLatest(state, before.Active(), kStart + 70s)) << "reckoned with";
  EXPECT_TRUE(KeepForLatest(state, before.Active(), kStart + 73500ms));
  EXPECT_EQ(state.authorities[0].keep_until, kStart + 74s);
  EXPECT_TRUE(KeepForLatest(state, before.Active(), kStart + 24h));
  EXPECT_EQ(state.authorities[0].keep_until, kStart + 600s) << "never longer than it is valid";
  EXPECT_FALSE(KeepForLatest(state, state.Active(), kStart + 24h)) << "it has not retired";
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
  state = Rest(state, now);
  EXPECT_EQ(state.authorities.size(), 2u)
      << "the clock may be wrong: the root that signed stays for as long as an SVID";
  EXPECT_EQ(NextStep(state, now + 59s), std::nullopt);
  state = Rest(state, now + 60s);
  EXPECT_EQ(state.authorities.size(), 1u);
}

TEST(CaScheduleTest, ARootFromTheFutureDoesNotSign) {
  EXPECT_EQ(NextStep(FirstRoot(), kStart - 24h), CaStep::kMakeActive);
  EXPECT_EQ(NextStep(FirstRoot(), kStart - 60s), std::nullopt) << "a small step backwards is covered by the backdating";
}

TEST(CaScheduleTest, AfterTheClockWasSetBackANewRootSignsAndTheOldOneStaysForItsWholeLife) {
  const CaState state = Rest(FirstRoot(), kStart - 48h);
  ASSERT_EQ(state.authorities.size(), 2u);
  EXPECT_TRUE(IsUsable(state.Active(), kStart - 48h));
  EXPECT_TRUE(state.authorities[0].may_return);
  EXPECT_EQ(state.authorities[0].keep_until, kStart + 600s) << "by the true clock its SVIDs are still good";
}

TEST(CaScheduleTest, WhenTheClockComesBackFromThePastTheRootThatWasSetAsideSignsAgain) {
  const CaState first = FirstRoot();
  const CaState past = Rest(first, kStart - 48h);
  const CaState back = Rest(past, kStart + 20s);
  EXPECT_EQ(back.Active()->id, first.Active()->id);
  EXPECT_FALSE(back.Active()->keep_until);
  EXPECT_EQ(Rest(back, kStart + 80s).authorities.size(), 1u) << "the one of the past is gone after an SVID's life";
}

TEST(CaScheduleTest, ARootThatTheClockBroughtBackButThatIsNotNeededRetires) {
  const CaState first = FirstRoot();
  const CaState past = Rest(first, kStart - 400s);  // a small step: the root of then is still good
  const CaState back = Rest(past, kStart + 50s);
  EXPECT_EQ(back.Active()->id, past.Active()->id);
  EXPECT_FALSE(back.authorities[0].may_return);
  EXPECT_EQ(back.authorities[0].keep_until, kStart + 110s);
  const CaState after = Rest(back, kStart + 110s);
  EXPECT_THAT(Ids(after), ::testing::Not(::testing::Contains(first.Active()->id)));
}

TEST(CaScheduleTest, AWallClockFarAheadAndBackCostsNoRootThatHasSvids) {
  const CaState first = FirstRoot();
  const CaState ahead = Rest(first, kStart + 48h);
  EXPECT_NE(ahead.Active()->id, first.Active()->id);
  EXPECT_THAT(Ids(ahead), ::testing::Contains(first.Active()->id));
  const CaState back = Rest(ahead, kStart + 30s);
  EXPECT_EQ(back.Active()->id, first.Active()->id);
  EXPECT_THAT(Ids(back), ::testing::Contains(ahead.Active()->id)) << "somebody may be ahead still";
}

TEST(CaScheduleTest, AClockThatFlapsDoesNotHeapUpRoots) {
  CaState state = FirstRoot();
  for (int flap = 0; flap < 50; ++flap) {
    const WallTime now = kStart + std::chrono::seconds(flap);
    for (const auto off : {48h, 0h, -48h}) {
      state = Rest(state, now + off);
      ASSERT_TRUE(IsUsable(state.Active(), now + off));
      ASSERT_LE(state.authorities.size(), 3u);
    }
  }
}

TEST(CaScheduleTest, ARootThatWasRotatedAwayByHandNeverSignsAgain) {
  const CaState first = FirstRoot();
  const CaState past = Rest(first, kStart - 48h);
  CaState rotated = Rotate(past, kSettings, kStart - 48h, std::nullopt).value();
  rotated = Rest(rotated, kStart + 20s);
  EXPECT_NE(rotated.Active()->id, first.Active()->id);
  EXPECT_NE(rotated.Active()->id, past.Active()->id);
  const CaState late =
      Rest(Rotate(Rest(first, kStart + 48h), kSettings, kStart + 20s, std::nullopt).value(), kStart + 20s);
  EXPECT_NE(late.Active()->id, first.Active()->id) << "not even while another clock made it the only one";
}

TEST(CaScheduleTest, RotationByHandPromotesWhatIsPreparedAndElseMakesARoot) {
  const CaState fresh = Rotate(FirstRoot(), kSettings, kStart, std::nullopt).value();
  EXPECT_EQ(fresh.authorities.size(), 2u);
  EXPECT_EQ(fresh.authorities[1].phase, AuthorityPhase::kActive);
  const CaState prepared = Take(CaStep::kMakePrepared, FirstRoot(), kStart + 300s);
  const CaState promoted = Rotate(prepared, kSettings, kStart + 301s, std::nullopt).value();
  EXPECT_EQ(promoted.authorities.size(), 2u);
  EXPECT_EQ(promoted.Active()->id, prepared.authorities[1].id);
}

TEST(CaScheduleTest, RotationByHandIsRefusedWhile64AuthoritiesAreKeptAndTheScheduleGoesOn) {
  CaState state = FirstRoot();
  while (state.authorities.size() < 64) {
    const auto rotated = Rotate(state, kSettings, kStart, std::nullopt);
    ASSERT_TRUE(rotated.ok()) << Text(rotated.status());
    state = *rotated;
  }
  const Status refused = Rotate(state, kSettings, kStart, std::nullopt).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(refused), HasSubstr("ca show"));
  EXPECT_EQ(Take(CaStep::kMakePrepared, state, kStart).authorities.size(), 65u);
  state = Rest(state, kStart + 60s);
  EXPECT_TRUE(Rotate(state, kSettings, kStart + 60s, std::nullopt).ok()) << "what was signed has expired";
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
