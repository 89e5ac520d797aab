// The keys for tokens; root_keeper_test.cc has the roots.
#include <set>

#include "tests/unit/identity/root_keeper_fixture.h"

namespace lanyard::testing {
namespace {

TEST_F(RootKeeperTest, EveryTokenIsValidFromItsIssueToItsEndOverTwoRotations) {
  ASSERT_TRUE(Start().ok());
  std::vector<JwtSvid> jwt;
  std::vector<WitSvid> wit;
  std::set<std::string> jwt_keys, wit_keys;
  std::size_t most_in_bundle = 0;
  for (int second = 0; second < 900; second += 5) {
    world.Pass(5s, 5s);
    jwt.push_back(IssueJwt().value());
    wit.push_back(IssueWit().value());
    jwt_keys.insert(jwt.back().key_id());
    wit_keys.insert(wit.back().key_id());
    most_in_bundle = std::max(most_in_bundle, keeper->source().bundle()->jwt_authorities().size());
    const auto is_over = [&](const auto& svid) { return svid.expires() <= world.clock.WallNow(); };
    std::erase_if(jwt, is_over);
    std::erase_if(wit, is_over);
    for (const JwtSvid& svid : jwt) ASSERT_TRUE(Verifies(svid)) << "after " << second << " s";
    for (const WitSvid& svid : wit) ASSERT_TRUE(Verifies(svid)) << "after " << second << " s";
  }
  EXPECT_EQ(jwt_keys.size(), 3u);
  EXPECT_EQ(wit_keys.size(), 3u);
  EXPECT_EQ(most_in_bundle, 2u);
}

TEST_F(RootKeeperTest, TheNextKeyForTokensIsPublishedAtHalfAndSignsFromFiveSixths) {
  ASSERT_TRUE(Start().ok());
  const std::string first = IssueJwt()->key_id();
  int signers = 0;
  keeper->source().OnTokenSignerChange([&] { ++signers; });
  world.Pass(301s);
  const std::vector<AuthorityInfo> infos = Of(SvidKind::kJwt);
  ASSERT_EQ(infos.size(), 2u);
  EXPECT_EQ(infos[0].id, first);
  EXPECT_EQ(infos[1].phase, AuthorityPhase::kPrepared);
  EXPECT_NE(keeper->source().bundle()->FindJwtAuthority(infos[1].id), nullptr);
  EXPECT_EQ(IssueJwt()->key_id(), first);
  EXPECT_EQ(signers, 0);
  world.Pass(200s);
  EXPECT_EQ(IssueJwt()->key_id(), infos[1].id);
  EXPECT_EQ(Of(SvidKind::kJwt)[0].phase, AuthorityPhase::kRetired);
  EXPECT_EQ(signers, 2) << "of JWT-SVIDs and of WIT-SVIDs";
  world.Pass(65s);
  EXPECT_EQ(keeper->source().bundle()->FindJwtAuthority(first), nullptr) << "its last token has expired";
}

TEST_F(RootKeeperTest, TheKeysForTokensOutliveARestartAndAreNoRoots) {
  ASSERT_TRUE(Start().ok());
  const JwtSvid jwt = IssueJwt().value();
  const WitSvid wit = IssueWit().value();
  Restart();
  EXPECT_TRUE(Verifies(jwt));
  EXPECT_TRUE(Verifies(wit));
  EXPECT_EQ(IssueJwt()->key_id(), jwt.key_id());
  EXPECT_EQ(InBundle(), 1u);
  std::set<std::string> ids;
  for (const AuthorityInfo& info : keeper->Show()) ids.insert(info.id);
  EXPECT_EQ(ids.size(), 3u) << "three keys";
}

TEST_F(RootKeeperTest, ADataDirectoryFromBeforeThereWereTokensGetsTheirKeys) {
  ASSERT_TRUE(Start().ok());
  const std::string root = Active();
  keeper.reset();
  world.Settle();
  std::filesystem::remove_all(temp.Path("ca/jwt"));
  std::filesystem::remove_all(temp.Path("ca/wit"));
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(Active(), root);
  EXPECT_TRUE(Verifies(IssueJwt().value()));
}

TEST_F(RootKeeperTest, ARotationByHandReplacesTheKeysForTokensToo) {
  ASSERT_TRUE(Start().ok());
  const JwtSvid before = IssueJwt().value();
  ASSERT_TRUE(Rotate().ok());
  EXPECT_NE(IssueJwt()->key_id(), before.key_id());
  EXPECT_TRUE(Verifies(before)) << "it stays valid until it expires";
}

TEST_F(RootKeeperTest, AKeyThatSignsOnWhileARotationIsWrittenStaysForItsLastTokenOverARestartToo) {
  ASSERT_TRUE(Start().ok());
  const std::string key = IssueJwt()->key_id();
  bool rotated = false;
  keeper->Rotate([&](const Status& status) { rotated = status.ok(); });
  world.clock.Advance(4s);  // the disk is slow
  const JwtSvid last = IssueJwt().value();
  ASSERT_EQ(last.key_id(), key);
  world.Settle();
  ASSERT_TRUE(rotated);
  ASSERT_NE(IssueJwt()->key_id(), key);
  Restart(57s);
  world.Pass(2s);
  EXPECT_TRUE(Verifies(last)) << "63 s after the rotation began";
  world.Pass(2s);
  EXPECT_EQ(keeper->source().bundle()->FindJwtAuthority(key), nullptr);
}

TEST_F(RootKeeperTest, ATokenThatLivesLongerThanAnyBeforeWaitsUntilThatIsOnDisk) {
  ASSERT_TRUE(Start().ok());
  std::filesystem::rename(temp.Path("ca"), temp.Path("away"));
  EXPECT_FALSE(IssueJwt(400s).ok()) << "a longer life cannot be covered";
  std::filesystem::rename(temp.Path("away"), temp.Path("ca"));
  EXPECT_TRUE(IssueJwt(400s).ok());
}

TEST_F(RootKeeperTest, ADamagedKeyForTokensStopsTheStartAndIsNotReplaced) {
  ASSERT_TRUE(Start().ok());
  const std::string file = Of(SvidKind::kJwt)[0].file;
  std::filesystem::resize_file(file, 100);
  const Status started = Start();
  EXPECT_EQ(started.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(started), HasSubstr(file));
}

}  // namespace
}  // namespace lanyard::testing
