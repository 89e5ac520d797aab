#include <future>

#include "node_agent/state/state_store.h"
#include "tests/unit/identity/root_keeper_fixture.h"

namespace lanyard::testing {
namespace {

TEST_F(RootKeeperTest, MakesARootOnFirstStartAndKeepsItOnTheNext) {
  ASSERT_TRUE(Start().ok());
  const std::string id = Active();
  EXPECT_TRUE(Verifies(Issue().value()));
  Restart();
  EXPECT_EQ(Active(), id);
  EXPECT_EQ(keeper->health().level, HealthLevel::kGood);
}

TEST_F(RootKeeperTest, EverySvidVerifiesFromItsIssueToItsEndOverTwoRotations) {
  ASSERT_TRUE(Start().ok());
  std::vector<X509Svid> issued;
  std::vector<std::string> roots{Active()};
  std::size_t most_in_bundle = 0;
  for (int second = 0; second < 900; second += 5) {
    world.Pass(5s, 5s);
    issued.push_back(Issue().value());
    if (Active() != roots.back()) roots.push_back(Active());
    most_in_bundle = std::max(most_in_bundle, InBundle());
    std::erase_if(issued, [&](const X509Svid& svid) { return svid.not_after() <= world.clock.WallNow(); });
    for (const X509Svid& svid : issued) {
      ASSERT_TRUE(Verifies(svid)) << "after " << second << " s, issued "
                                  << (world.clock.WallNow() - svid.not_before()).count();
      ASSERT_EQ(svid.not_after() - svid.not_before(), 70s) << "no life is cut short by the rotation";
    }
    ASSERT_EQ(KeysOnDisk(), Roots().size());
  }
  EXPECT_EQ(roots.size(), 3u);
  EXPECT_EQ(most_in_bundle, 2u);
}

TEST_F(RootKeeperTest, TheNextRootIsPublishedAtHalfAndSignsFromFiveSixths) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Active();
  int bundle_changes = 0;
  keeper->source().OnBundleChange([&] { ++bundle_changes; });
  world.Pass(299s);
  EXPECT_EQ(InBundle(), 1u);
  world.Pass(1s);
  EXPECT_EQ(InBundle(), 2u);
  EXPECT_EQ(bundle_changes, 3) << "the root, and a key each for JWT-SVIDs and WIT-SVIDs";
  ASSERT_EQ(Roots().size(), 2u);
  EXPECT_EQ(Roots()[1].phase, AuthorityPhase::kPrepared);
  EXPECT_EQ(Roots()[1].signs_from, world.clock.WallNow() + 200s);
  world.Pass(199s);
  EXPECT_EQ(Active(), first);
  world.Pass(1s);
  EXPECT_NE(Active(), first);
  EXPECT_EQ(InBundle(), 2u) << "the old one stays for its SVIDs";
  EXPECT_EQ(bundle_changes, 3) << "the root, and a key each for JWT-SVIDs and WIT-SVIDs";
  world.Pass(59s);
  EXPECT_EQ(InBundle(), 2u);
  world.Pass(1s);
  EXPECT_EQ(InBundle(), 1u);
  EXPECT_EQ(KeysOnDisk(), 1u);
}

TEST_F(RootKeeperTest, ARestartInEachPhaseGoesOnWhereItWas) {
  ASSERT_TRUE(Start().ok());
  for (const auto passed : {100s, 250s, 170s, 30s, 100s}) {  // fresh, prepared, retired and waiting, gone, and so on
    world.Pass(passed, 5s);
    const std::string active = Active();
    const auto before = Roots();
    const X509Svid svid = Issue().value();
    Restart();
    EXPECT_EQ(Active(), active);
    EXPECT_EQ(Roots().size(), before.size());
    EXPECT_TRUE(Verifies(svid));
  }
}

TEST_F(RootKeeperTest, AfterALongStopANewRootSignsAtOnce) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Active();
  Restart(550s);
  EXPECT_NE(Active(), first);
  EXPECT_EQ(InBundle(), 2u);
  Restart(24h);
  EXPECT_EQ(InBundle(), 2u) << "the clock may be wrong";
  world.Pass(61s);
  EXPECT_EQ(InBundle(), 1u);
  EXPECT_EQ(KeysOnDisk(), 1u);
  EXPECT_TRUE(Verifies(Issue().value()));
}

TEST_F(RootKeeperTest, ARetiredRootStaysForTheLongestLeafEvenIfTtlsWereShortenedMeanwhile) {
  ASSERT_TRUE(Start().ok());
  const X509Svid longest = Issue(300s).value();
  options.usual_leaf_ttl = 10s;
  Restart();
  ASSERT_TRUE(Rotate().ok());
  world.Pass(295s, 5s);
  EXPECT_TRUE(Verifies(longest));
  world.Pass(10s);
  EXPECT_FALSE(Verifies(longest));
}

TEST_F(RootKeeperTest, AskingToRotateMakesANewRootSignAtOnceAndKeepsTheOldOneForItsSvids) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Active();
  const X509Svid old = Issue().value();
  ASSERT_TRUE(Rotate().ok());
  EXPECT_NE(Active(), first);
  EXPECT_TRUE(Verifies(old));
  EXPECT_TRUE(Verifies(Issue().value()));
  const std::string second = Active();
  Restart();
  EXPECT_EQ(Active(), second) << "rotated for good";
  EXPECT_TRUE(Verifies(old));
}

TEST_F(RootKeeperTest, AskingToRotateUsesThePreparedRoot) {
  ASSERT_TRUE(Start().ok());
  world.Pass(301s, 5s);
  const std::string prepared = Roots()[1].id;
  ASSERT_TRUE(Rotate().ok());
  EXPECT_EQ(Active(), prepared);
}

TEST_F(RootKeeperTest, ManyRotationsAtOnceAreDoneOneAfterAnother) {
  ASSERT_TRUE(Start().ok());
  int done = 0;
  for (int i = 0; i < 5; ++i) keeper->Rotate([&](Status status) { done += status.ok() ? 1 : 0; });
  EXPECT_TRUE(RunUntil(world.loop, [&] { return done == 5; }));
  EXPECT_EQ(Roots().size(), 6u);
}

TEST_F(RootKeeperTest, AJumpOfTheWallClockIsNoticedWithinASecond) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Active();
  for (const auto jump : {48h, -48h, -48h, 48h}) {
    const std::string before = Active();
    world.clock.JumpWall(jump);
    world.Pass(1s);
    EXPECT_NE(Active(), before);
    EXPECT_TRUE(Verifies(Issue().value()));
    EXPECT_EQ(keeper->health().level, HealthLevel::kGood);
  }
  EXPECT_EQ(Active(), first);
}

TEST_F(RootKeeperTest, WhoeverAsksRightAfterAJumpGetsAnSvidOfARootThatIsValidNow) {
  ASSERT_TRUE(Start().ok());
  for (const auto jump : {48h, -48h, -48h, 48h}) {
    world.clock.JumpWall(jump);
    const auto svid = Issue();
    ASSERT_TRUE(svid.ok()) << Text(svid.status());
    EXPECT_TRUE(Verifies(*svid));
  }
}

TEST_F(RootKeeperTest, AnSvidFromBeforeATemporaryJumpVerifiesAfterIt) {
  ASSERT_TRUE(Start().ok());
  const X509Svid before = Issue().value();
  for (const auto jump : {48h, -48h}) {
    world.clock.JumpWall(jump);
    world.Pass(5s);
    world.clock.JumpWall(-jump);
    world.Pass(5s);
    EXPECT_TRUE(Verifies(before));
  }
}

TEST_F(RootKeeperTest, AJumpOverARestartIsOutlivedToo) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Active();
  const X509Svid before = Issue().value();
  for (const auto jump : {48h, -48h}) {
    keeper.reset();
    world.clock.JumpWall(jump);
    Restart();
    EXPECT_TRUE(Verifies(Issue().value()));
    EXPECT_THAT(keeper->health().text, HasSubstr("set aside"));
    keeper.reset();
    world.clock.JumpWall(-jump);
    Restart();
    EXPECT_EQ(Active(), first);
    EXPECT_TRUE(Verifies(before));
  }
}

TEST_F(RootKeeperTest, WhenNoRootCanBeMadeAfterAJumpWhoeverWaitsIsAnsweredWithTheReason) {
  ASSERT_TRUE(Start().ok());
  std::filesystem::rename(temp.Path("ca"), temp.Path("away"));
  world.clock.JumpWall(-48h);
  EXPECT_FALSE(Issue().ok());
  EXPECT_EQ(keeper->health().level, HealthLevel::kBroken);
  std::filesystem::rename(temp.Path("away"), temp.Path("ca"));
  EXPECT_TRUE(Verifies(Issue().value()));
}

TEST_F(RootKeeperTest, WhenTheDiskRefusesTheRootSignsOnAndHealthSaysSo) {
  ASSERT_TRUE(Start().ok());
  std::filesystem::rename(temp.Path("ca"), temp.Path("away"));
  world.Pass(320s, 5s);
  EXPECT_EQ(keeper->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(keeper->health().text, HasSubstr("make the next root"));
  EXPECT_TRUE(Verifies(Issue().value()));
  EXPECT_FALSE(Issue(120s).ok()) << "a longer life cannot be covered";
  EXPECT_FALSE(Rotate().ok());
  std::filesystem::rename(temp.Path("away"), temp.Path("ca"));
  world.Pass(20s, 5s);
  EXPECT_EQ(keeper->health().level, HealthLevel::kGood);
  EXPECT_EQ(InBundle(), 2u);
}

TEST_F(RootKeeperTest, WhoeverAsksForALongerLifeIsAnsweredAlsoWhileTheDiskIsSilent) {
  ASSERT_TRUE(Start().ok());
  world.Settle();
  std::promise<void> disk;
  const std::shared_future<void> silence = disk.get_future().share();
  for (int i = 0; i < 64; ++i) world.loop.RunInPool([silence] { silence.wait(); }, [] {});  // in every thread of it
  std::optional<Result<X509Svid>> answer;
  keeper->source().Issue({.entry = MakeEntry("refund"), .ttl = 300s},
                         [&](Result<X509Svid> svid) { answer = std::move(svid); });
  world.clock.Advance(kDiskPatience - 1s);
  world.loop.RunOnce(0);
  EXPECT_FALSE(answer);
  world.clock.Advance(1s);
  EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
  disk.set_value();
  world.Settle();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(answer->status()), HasSubstr("the disk has not answered for 5s"));
  EXPECT_TRUE(Verifies(Issue(300s).value()));
}

TEST_F(RootKeeperTest, ADamagedKeyStopsTheStartAndIsNotReplaced) {
  ASSERT_TRUE(Start().ok());
  const std::string file = Roots()[0].file;
  std::filesystem::resize_file(file, 100);
  const Status started = Start();
  EXPECT_EQ(started.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(started), HasSubstr(file));
  EXPECT_EQ(std::filesystem::file_size(file), 100u);
}

TEST_F(RootKeeperTest, TwoAgentsOnOneDataDirectoryExcludeEachOther) {
  ASSERT_TRUE(Start().ok());
  EXPECT_THAT(Text(DataDirLock::Acquire(temp.path()).status()), HasSubstr("another lanyard"));
}

TEST_F(RootKeeperTest, CaInitMakesWhatTheAgentThenUsesAndCaShowPrintsIt) {
  EXPECT_EQ(ReadCa(options, temp.path(), world.clock.WallNow()).status().code(), StatusCode::kFailedPrecondition);
  const auto made = InitCa(options, *lock, world.clock.WallNow());
  ASSERT_TRUE(made.ok()) << Text(made.status());
  ASSERT_EQ(made->size(), 3u) << "a root, and a key each for JWT-SVIDs and WIT-SVIDs";
  EXPECT_EQ(made->front().kind, SvidKind::kX509);
  EXPECT_EQ(InitCa(options, *lock, world.clock.WallNow())->front().id, made->front().id)
      << "a second init changes nothing";
  EXPECT_EQ(ReadCa(options, temp.path(), world.clock.WallNow())->front().id, made->front().id);
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(Active(), made->front().id);
}

TEST_F(RootKeeperTest, ARootThatLivesTooShortIsRefused) {
  options.ca_ttl = 59s;
  EXPECT_EQ(Start().code(), StatusCode::kInvalidArgument);
}

TEST_F(RootKeeperTest, MayBeDestroyedWhileARotationIsWritten) {
  ASSERT_TRUE(Start().ok());
  bool answered = false;
  keeper->Rotate([&](Status) { answered = true; });
  keeper.reset();
  world.Settle();
  EXPECT_FALSE(answered);
  EXPECT_TRUE(Start().ok());
}

}  // namespace
}  // namespace lanyard::testing
