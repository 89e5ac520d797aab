#include "node_agent/identity/jwt_svid_cache.h"

#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

struct JwtSvidCacheTest : ::testing::Test {
  World world;
  FakeSource source{world.loop, world.clock};
  JwtSvidCacheOptions options{.default_ttl = 300s};
  std::optional<JwtSvidCache> cache;
  EntryPtr bot = MakeEntry("bot"), other = MakeEntry("other");

  void SetUp() override { Make(); }
  void Make() {
    cache.emplace(source, world.loop, world.clock, options, [] { return 0.5; });
  }
  // Asks, and waits for the answer.
  Result<JwtSvid> Get(const EntryPtr& entry, std::vector<std::string> audiences = {"reports"}) {
    std::optional<Result<JwtSvid>> answer;
    cache->Get(entry, std::move(audiences), [&](Result<JwtSvid> svid) { answer = std::move(svid); });
    EXPECT_FALSE(answer) << "answered before Get() returned";
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  std::string Token(const EntryPtr& entry, std::vector<std::string> audiences = {"reports"}) {
    return Get(entry, std::move(audiences)).value().token();
  }
};

TEST_F(JwtSvidCacheTest, ServesOneTokenUntilHalfOfItsLife) {
  const std::string first = Token(bot);
  world.Pass(149s);
  EXPECT_EQ(Token(bot), first);
  EXPECT_EQ(source.asked_jwt.size(), 1u);
  EXPECT_EQ(source.asked_jwt[0].ttl, 300s);
  EXPECT_EQ(source.asked_jwt[0].cause, IssueCause::kNew);
  EXPECT_EQ(cache->stats().hits, 1u);
}

TEST_F(JwtSvidCacheTest, FromHalfLifeOnTheOldOneIsServedWhileANewOneIsMade) {
  const std::string first = Token(bot);
  world.Pass(151s);
  source.automatic = false;
  EXPECT_EQ(Token(bot), first);
  EXPECT_EQ(Token(bot), first);
  ASSERT_EQ(source.asked_jwt.size(), 2u) << "one refresh for both";
  EXPECT_EQ(source.asked_jwt[1].cause, IssueCause::kRenewal);
  source.AnswerJwt(1);
  EXPECT_NE(Token(bot), first);
  EXPECT_EQ(cache->stats().issued_renewal, 1u);
}

TEST_F(JwtSvidCacheTest, ShortlyBeforeItsEndWhoAsksWaitsForTheNewOne) {
  const std::string first = Token(bot);
  world.Pass(269s);
  source.failure = Error(StatusCode::kUnavailable, "no signer");
  EXPECT_EQ(Token(bot), first) << "31 s are left";
  world.Pass(2s);
  EXPECT_EQ(Get(bot).status().code(), StatusCode::kUnavailable) << "29 s are left";
  source.failure = OkStatus();
  EXPECT_NE(Token(bot), first);
}

TEST_F(JwtSvidCacheTest, ConcurrentAsksShareOneSigning) {
  source.automatic = false;
  std::vector<std::string> tokens;
  for (int i = 0; i < 20; ++i) {
    cache->Get(bot, i % 2 == 0 ? std::vector<std::string>{"a", "b"} : std::vector<std::string>{"b", "a", "b"},
               [&](Result<JwtSvid> svid) { tokens.push_back(svid.value().token()); });
  }
  EXPECT_EQ(source.asked_jwt.size(), 1u);
  EXPECT_EQ(cache->stats().shared, 19u);
  source.AnswerJwt(1);
  ASSERT_EQ(tokens.size(), 20u);
  for (const std::string& token : tokens) EXPECT_EQ(token, tokens[0]);
}

TEST_F(JwtSvidCacheTest, EntriesAndAudiencesAreToldApart) {
  const std::string a = Token(bot, {"a"});
  EXPECT_NE(Token(bot, {"b"}), a);
  EXPECT_NE(Token(bot, {"a", "b"}), a);
  EXPECT_NE(Token(other, {"a"}), a);
  EXPECT_NE(Token(bot, {"A"}), a);
  EXPECT_EQ(Token(bot, {"a"}), a);
  EXPECT_EQ(cache->size(), 5u);
  // No separator that an audience could hold makes two sets one.
  EXPECT_NE(Token(bot, {"x y"}), Token(bot, {"x", "y"}));
  EXPECT_NE(Token(bot, {"x,y"}), Token(bot, {"x", "y"}));
}

TEST_F(JwtSvidCacheTest, AnAudienceIsNeeded) {
  EXPECT_EQ(Get(bot, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(source.asked_jwt.empty());
}

TEST_F(JwtSvidCacheTest, AnEntrysOwnLifetimeMayOnlyBeShorter) {
  Entry brief{.id = bot->id}, lasting{.id = bot->id};
  brief.jwt_ttl = 60s;
  lasting.jwt_ttl = 3600s;
  Token(std::make_shared<const Entry>(brief));
  Token(std::make_shared<const Entry>(lasting));
  EXPECT_EQ(source.asked_jwt[0].ttl, 60s);
  EXPECT_EQ(source.asked_jwt[1].ttl, 300s);
}

TEST_F(JwtSvidCacheTest, AForgottenEntrysTokensAreGoneAndWhoWaitsIsRefused) {
  const std::string first = Token(bot);
  source.automatic = false;
  std::optional<Result<JwtSvid>> waiting;
  cache->Get(bot, {"slow"}, [&](Result<JwtSvid> svid) { waiting = std::move(svid); });
  cache->Forget(bot);
  EXPECT_EQ(cache->size(), 0u);
  EXPECT_EQ(cache->bytes(), 0u);
  world.Settle();
  EXPECT_EQ(waiting->status().code(), StatusCode::kPermissionDenied);
  source.AnswerJwt(1);  // what was being signed
  EXPECT_EQ(cache->size(), 0u);
  source.automatic = true;
  EXPECT_NE(Token(bot), first);
}

TEST_F(JwtSvidCacheTest, WhatWasSignedForAForgottenEntryIsNotServedToWhoAsksAfterwards) {
  source.automatic = false;
  std::optional<Result<JwtSvid>> before, after;
  cache->Get(bot, {"a"}, [&](Result<JwtSvid> svid) { before = std::move(svid); });
  cache->Forget(bot);
  cache->Get(bot, {"a"}, [&](Result<JwtSvid> svid) { after = std::move(svid); });
  source.AnswerJwt(1);
  EXPECT_FALSE(after) << "the first signing is stale";
  source.AnswerJwt(1);
  EXPECT_TRUE(after.has_value() && after->ok());
}

TEST_F(JwtSvidCacheTest, ACallerWithEverNewAudiencesDrivesOutOnlyItsOwnTokens) {
  options.most_per_entry = 3;
  Make();
  const std::string kept = Token(other);
  for (int i = 0; i < 10; ++i) Token(bot, {"audience-" + std::to_string(i)});
  EXPECT_EQ(cache->size(), 4u);
  EXPECT_EQ(Token(other), kept);
  EXPECT_EQ(cache->stats().evicted, 7u);
}

TEST_F(JwtSvidCacheTest, AsAWholeItIsBoundedInBytesAndTheLongestUnaskedGoesFirst) {
  options.most_bytes = 64 * 1024;
  Make();
  const std::string large(2000, 'x');
  const std::string kept = Token(other);
  for (int i = 0; i < 100; ++i) {
    Token(MakeEntry("bot"), {large + std::to_string(i)});
    EXPECT_EQ(Token(other), kept) << "asked for again and again";
    EXPECT_LE(cache->bytes(), options.most_bytes);
  }
  EXPECT_LT(cache->size(), 20u);
}

TEST_F(JwtSvidCacheTest, WhatExpiresUnaskedIsSweptAway) {
  Token(bot);
  Token(other);
  world.Pass(400s, 5s);
  EXPECT_EQ(cache->size(), 0u);
  EXPECT_EQ(cache->bytes(), 0u);
}

TEST_F(JwtSvidCacheTest, AFailedRefreshIsTriedAgainAfterAWhileNotByEveryAsk) {
  const std::string first = Token(bot);
  world.Pass(160s);
  source.failure = Error(StatusCode::kUnavailable, "no signer");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Token(bot), first);
  EXPECT_EQ(source.asked_jwt.size(), 2u);
  world.Pass(2s);
  EXPECT_EQ(Token(bot), first);
  EXPECT_EQ(source.asked_jwt.size(), 3u);
  world.Settle();
  EXPECT_EQ(cache->stats().failed_renewal, 2u);
}

TEST_F(JwtSvidCacheTest, AfterAnotherKeyHasBegunToSignEveryTokenIsMadeAnew) {
  const std::string first = Token(bot);
  source.ChangeTokenSigner();
  EXPECT_EQ(Token(bot), first) << "it is still valid";
  world.Settle();
  EXPECT_NE(Token(bot), first);
}

TEST_F(JwtSvidCacheTest, ATokenWhoseSigningBeganUnderTheKeyBeforeIsMadeAnewOnTheNextAsk) {
  source.automatic = false;
  std::optional<Result<JwtSvid>> begun;
  cache->Get(bot, {"reports"}, [&](Result<JwtSvid> svid) { begun = std::move(svid); });
  source.ChangeTokenSigner();
  source.AnswerJwt(1);
  ASSERT_TRUE(begun.has_value() && begun->ok());
  source.automatic = true;
  EXPECT_EQ(Token(bot), begun->value().token()) << "it is still valid";
  world.Settle();
  EXPECT_EQ(source.asked_jwt.size(), 2u);
  const std::string next = Token(bot);
  EXPECT_NE(next, begun->value().token());
  world.Settle();
  EXPECT_EQ(Token(bot), next) << "that one is of the key of now";
  EXPECT_EQ(source.asked_jwt.size(), 2u);
}

TEST_F(JwtSvidCacheTest, AClockThatIsSetBackDoesNotMakeATokenLiveLonger) {
  const std::string first = Token(bot);
  world.clock.JumpWall(-1h);
  EXPECT_NE(Token(bot), first);
}

TEST_F(JwtSvidCacheTest, AnAnswerForSomebodyElseIsNotHandedOut) {
  source.answer_with = other;
  EXPECT_EQ(Get(bot).status().code(), StatusCode::kInternal);
  EXPECT_EQ(cache->size(), 0u);
}

TEST_F(JwtSvidCacheTest, MayBeDestroyedWhileSomebodyWaits) {
  bool answered = false;
  cache->Get(bot, {"a"}, [&](const Result<JwtSvid>&) { answered = true; });
  cache.reset();
  world.Settle();
  EXPECT_FALSE(answered);
}

}  // namespace
}  // namespace lanyard::testing
