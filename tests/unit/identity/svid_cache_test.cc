#include "node_agent/identity/svid_cache.h"

#include "node_agent/identity/renewal_times.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

struct SvidCacheTest : ::testing::Test {
  World world;
  FakeSource source{world.loop, world.clock};
  double random = 0.5;
  std::unique_ptr<SvidCache> cache = MakeCache();
  std::vector<std::vector<EntryPtr>> changes;

  std::unique_ptr<SvidCache> MakeCache() {
    auto made = std::make_unique<SvidCache>(source, world.loop, world.clock, SvidCacheOptions{.default_ttl = 1h},
                                            [this] { return random; });
    made->OnChange([this](std::span<const EntryPtr> changed) { changes.emplace_back(changed.begin(), changed.end()); });
    return made;
  }

  Result<CachedSvidPtr> Get(const EntryPtr& entry) {
    Result<CachedSvidPtr> answer = Error(StatusCode::kInternal, "not answered");
    bool answered = false;
    cache->Get(entry, [&](Result<CachedSvidPtr> got) {
      answer = std::move(got);
      answered = true;
    });
    EXPECT_FALSE(answered) << "answered before Get() returned";
    world.Settle();
    return answer;
  }
};

TEST_F(SvidCacheTest, ConcurrentAsksShareOneSigning) {
  const EntryPtr entry = MakeEntry("refund");
  std::vector<CachedSvidPtr> answers;
  for (int i = 0; i < 100; ++i) {
    cache->Get(entry, [&](Result<CachedSvidPtr> got) { answers.push_back(*std::move(got)); });
  }
  world.Settle();
  EXPECT_EQ(source.asked.size(), 1u);
  ASSERT_EQ(answers.size(), 100u);
  for (const CachedSvidPtr& answer : answers) EXPECT_EQ(answer, answers.front());
  EXPECT_EQ(answers.front()->chain_der, answers.front()->svid.ChainDer());
  EXPECT_TRUE(PrivateKey::FromPkcs8Der(answers.front()->key_pkcs8.expose()).ok());
  EXPECT_TRUE(changes.empty()) << "the askers know already";
}

TEST_F(SvidCacheTest, AnswersLaterAsksWithTheSameSvid) {
  const EntryPtr entry = MakeEntry("refund");
  const CachedSvidPtr first = Get(entry).value();
  EXPECT_EQ(Get(entry).value(), first);
  EXPECT_EQ(cache->Peek(entry), first);
  EXPECT_EQ(source.asked.size(), 1u);
}

TEST_F(SvidCacheTest, AsksForTheShorterOfDefaultAndEntryTtlAndTheEntrysKeyType) {
  Entry longer = *MakeEntry("longer", 24h);
  longer.key_type = KeyType::kEcP384;
  EXPECT_EQ(Get(std::make_shared<const Entry>(longer)).value()->svid.key().type(), KeyType::kEcP384);
  ASSERT_TRUE(Get(MakeEntry("shorter", 60s)).ok());
  EXPECT_EQ(source.asked[0].ttl, 1h);
  EXPECT_EQ(source.asked[1].ttl, 60s);
}

TEST_F(SvidCacheTest, RenewsAtHalfLifeWhileHeld) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  const CachedSvidPtr first = Get(entry).value();
  world.Pass(30min - 1s);
  EXPECT_EQ(cache->Peek(entry), first);
  world.Pass(2s);
  const CachedSvidPtr second = cache->Peek(entry);
  ASSERT_NE(second, nullptr);
  EXPECT_GT(second->version, first->version);
  EXPECT_NE(second->svid.serial_hex(), first->svid.serial_hex());
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0], std::vector{entry});
}

TEST_F(SvidCacheTest, RenewsForAWholeDayWithoutAGap) {
  const EntryPtr entry = MakeEntry("refund", 60s);
  const auto hold = cache->Retain(entry);
  ASSERT_TRUE(Get(entry).ok());
  for (int i = 0; i < 24 * 60; ++i) {
    random = (i % 10) / 10.0;
    world.Pass(60s, 5s);
    ASSERT_NE(cache->Peek(entry), nullptr) << "minute " << i;
  }
  EXPECT_GE(source.asked.size(), 24u * 60 * 60 / 40);  // each lives 27 to 33 s, and is looked at every 5 s
}

TEST(RenewalTimesTest, RenewalFallsBetween45And55PercentOfTheLife) {
  const WallTime now{};
  EXPECT_EQ(RenewalTime(now, now + 1000s, 0.0), now + 450s);
  EXPECT_EQ(RenewalTime(now, now + 1000s, 0.5), now + 500s);
  EXPECT_LE(RenewalTime(now, now + 1000s, 0.999999), now + 550s);
}

TEST(RenewalTimesTest, AnSvidThatIsAboutToEndIsNotRenewedEverFaster) {
  const WallTime now{};
  EXPECT_EQ(RenewalTime(now, now + 1s, 0.5), now + 1s);
  EXPECT_EQ(RenewalTime(now, now + 1ms, 0.5), now + 1s);
}

TEST(RenewalTimesTest, RetriesDoubleUpToHalfAMinute) {
  EXPECT_EQ(RetryWait(1, 0), 1s);
  EXPECT_EQ(RetryWait(2, 0), 2s);
  EXPECT_EQ(RetryWait(5, 0), 16s);
  EXPECT_EQ(RetryWait(6, 0), 30s);
  EXPECT_EQ(RetryWait(1000000, 0), 30s);
  EXPECT_EQ(RetryWait(1, 1), 750ms);
}

TEST_F(SvidCacheTest, KeepsServingTheOldSvidWhileRenewalFails) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  const CachedSvidPtr first = Get(entry).value();
  source.failure = Error(StatusCode::kUnavailable, "the disk is full");
  world.Pass(40min);
  EXPECT_EQ(Get(entry).value(), first);
  EXPECT_EQ(cache->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(cache->health().text, HasSubstr("the disk is full"));
  const std::size_t tries = source.asked.size() - 1;
  EXPECT_GE(tries, 20u);  // 10 minutes at 30 s, less jitter
  EXPECT_LE(tries, 40u);

  source.failure = OkStatus();
  world.Pass(31s);
  EXPECT_NE(Get(entry).value(), first);
  EXPECT_EQ(cache->health().level, HealthLevel::kGood);
  EXPECT_EQ(changes.size(), 1u);
}

TEST_F(SvidCacheTest, NeverServesAnExpiredSvid) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  ASSERT_TRUE(Get(entry).ok());
  source.failure = Error(StatusCode::kUnavailable, "the disk is full");
  world.Pass(1h - 1s);
  EXPECT_NE(cache->Peek(entry), nullptr);
  EXPECT_TRUE(changes.empty());
  world.Pass(1s);
  EXPECT_EQ(cache->Peek(entry), nullptr);
  EXPECT_THAT(Text(Get(entry).status()), HasSubstr("the disk is full"));
  EXPECT_EQ(cache->health().level, HealthLevel::kBroken);
  ASSERT_EQ(changes.size(), 1u) << "those who show it must hear that it is gone";

  source.failure = OkStatus();
  world.Pass(31s);
  EXPECT_NE(cache->Peek(entry), nullptr) << "tried again by itself, since it is held";
  EXPECT_EQ(changes.size(), 2u);
}

TEST_F(SvidCacheTest, AFailedFirstAskIsNotRememberedWhenNobodyHoldsTheEntry) {
  const EntryPtr entry = MakeEntry("refund");
  source.failure = Error(StatusCode::kUnavailable, "not ready");
  EXPECT_FALSE(Get(entry).ok());
  EXPECT_EQ(cache->size(), 0u);
  source.failure = OkStatus();
  EXPECT_TRUE(Get(entry).ok());
}

TEST_F(SvidCacheTest, TellsOfFiftyRenewalsTogetherInOneCall) {
  std::vector<EntryPtr> entries;
  std::vector<SvidCache::Hold> holds;
  for (int i = 0; i < 50; ++i) {
    entries.push_back(MakeEntry("agent" + std::to_string(i)));
    holds.push_back(cache->Retain(entries.back()));
    random = i / 50.0;
    ASSERT_TRUE(Get(entries.back()).ok());
  }
  source.most_at_once = 0;
  world.Pass(33min);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].size(), 50u);
  EXPECT_EQ(source.asked.size(), 100u);
  EXPECT_LE(source.most_at_once, SvidCacheOptions().renewals_at_once);
}

TEST_F(SvidCacheTest, ARenewalThatHangsDoesNotKeepTheOthersFromBeingTold) {
  const EntryPtr one = MakeEntry("one"), two = MakeEntry("two");
  const auto hold_one = cache->Retain(one), hold_two = cache->Retain(two);
  ASSERT_TRUE(Get(one).ok());
  ASSERT_TRUE(Get(two).ok());
  source.automatic = false;
  world.Pass(31min);
  source.Answer(1);
  EXPECT_TRUE(changes.empty());
  world.Pass(1s);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].size(), 1u);
}

TEST_F(SvidCacheTest, DropsAtRenewalTimeWhatNobodyHoldsOrHasAskedFor) {
  ASSERT_TRUE(Get(MakeEntry("refund")).ok());
  EXPECT_EQ(cache->size(), 1u);
  world.Pass(31min);
  EXPECT_EQ(cache->size(), 0u);
  EXPECT_EQ(source.asked.size(), 1u);
}

TEST_F(SvidCacheTest, RenewsWhatWasAskedForAgain) {
  const EntryPtr entry = MakeEntry("refund");
  ASSERT_TRUE(Get(entry).ok());
  world.Pass(10min);
  ASSERT_TRUE(Get(entry).ok());
  world.Pass(21min);
  EXPECT_EQ(source.asked.size(), 2u);
  world.Pass(31min);
  EXPECT_EQ(cache->size(), 0u);
}

TEST_F(SvidCacheTest, RenewsEverythingSoonAfterAnotherAuthorityBeganToSign) {
  const EntryPtr entry = MakeEntry("refund"), failing = MakeEntry("failing");
  const auto hold = cache->Retain(entry), hold_failing = cache->Retain(failing);
  const CachedSvidPtr first = Get(entry).value();
  source.failure = Error(StatusCode::kUnavailable, "not ready");
  EXPECT_FALSE(Get(failing).ok());
  source.failure = OkStatus();
  source.ChangeSigner();
  world.Pass(5s);
  EXPECT_GT(cache->Peek(entry)->version, first->version);
  EXPECT_NE(cache->Peek(failing), nullptr);
}

TEST_F(SvidCacheTest, AnSvidOfTheOldAuthorityThatArrivesAfterTheNewOneIsRenewedSoon) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  source.automatic = false;
  cache->Get(entry, [](Result<CachedSvidPtr>) {});
  source.ChangeSigner();
  source.Answer(1);
  source.automatic = true;
  world.Pass(5s);
  EXPECT_EQ(source.asked.size(), 2u);
}

TEST_F(SvidCacheTest, ReplacesWhatAJumpOfTheWallClockHasExpired) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  ASSERT_TRUE(Get(entry).ok());
  world.clock.JumpWall(2h);
  EXPECT_EQ(cache->Peek(entry), nullptr) << "not even before the jump was noticed";
  world.Pass(1s);
  EXPECT_NE(cache->Peek(entry), nullptr);
}

TEST_F(SvidCacheTest, ReplacesWhatAJumpBackwardsHasPutIntoTheFuture) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  ASSERT_TRUE(Get(entry).ok());
  world.clock.JumpWall(-2h);
  world.Pass(1s);
  const CachedSvidPtr now = cache->Peek(entry);
  ASSERT_NE(now, nullptr);
  EXPECT_LE(now->svid.not_before(), world.clock.WallNow());
}

TEST_F(SvidCacheTest, ReplacesWhatWasSignedBetweenAJumpAndItsReversal) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  ASSERT_TRUE(Get(entry).ok());
  world.clock.JumpWall(-2h);
  ASSERT_TRUE(Get(entry).ok());
  world.clock.JumpWall(2h);  // both before anybody looked at the clock
  EXPECT_EQ(cache->Peek(entry), nullptr);
  world.Pass(1s);
  EXPECT_NE(cache->Peek(entry), nullptr);
}

TEST_F(SvidCacheTest, ReplacesAtOnceWhatIsInvalidWhenAnotherAuthorityBeginsToSign) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  ASSERT_TRUE(Get(entry).ok());
  world.clock.JumpWall(2h);
  source.ChangeSigner();
  world.clock.Advance(0s);
  world.Settle();
  EXPECT_NE(cache->Peek(entry), nullptr);
}

TEST_F(SvidCacheTest, ForgetsAtOnceAndDiscardsWhatIsBeingSigned) {
  const EntryPtr entry = MakeEntry("refund");
  const auto hold = cache->Retain(entry);
  source.automatic = false;
  Status answer;
  cache->Get(entry, [&](Result<CachedSvidPtr> got) { answer = got.status(); });
  cache->Forget(entry);
  source.Answer(1);
  world.Settle();
  EXPECT_EQ(answer.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(cache->Peek(entry), nullptr);

  source.automatic = true;
  ASSERT_TRUE(Get(entry).ok());
  changes.clear();
  cache->Forget(entry);
  EXPECT_EQ(cache->Peek(entry), nullptr);
  world.Settle();
  EXPECT_EQ(changes.size(), 1u);
  world.Pass(10min, 30s);
  EXPECT_EQ(cache->Peek(entry), nullptr) << "not made again by itself";
}

TEST_F(SvidCacheTest, RefusesAnSvidOfAnotherIdentityThanItAskedFor) {
  source.answer_with = MakeEntry("attacker");
  EXPECT_THAT(Text(Get(MakeEntry("refund")).status()), HasSubstr("got one of spiffe://example.org/attacker"));
}

TEST_F(SvidCacheTest, EntriesOfEqualIdButDifferentContentAreKeptApart) {
  const CachedSvidPtr one = Get(MakeEntry("refund", 60s)).value();
  const CachedSvidPtr two = Get(MakeEntry("refund", 120s)).value();
  EXPECT_NE(one, two);
}

TEST_F(SvidCacheTest, MayBeDestroyedWhileASigningIsUnderWay) {
  const EntryPtr entry = MakeEntry("refund");
  auto hold = cache->Retain(entry);
  bool answered = false;
  source.automatic = false;
  cache->Get(entry, [&](Result<CachedSvidPtr>) { answered = true; });
  cache.reset();
  source.Answer(1);
  source.ChangeSigner();
  world.Settle();
  EXPECT_FALSE(answered);
  hold = SvidCache::Hold();
}

TEST_F(SvidCacheTest, AnAskerMayForgetTheEntryFromWithinItsAnswer) {
  const EntryPtr entry = MakeEntry("refund");
  int answers = 0;
  for (int i = 0; i < 3; ++i) {
    cache->Get(entry, [&](Result<CachedSvidPtr>) {
      ++answers;
      cache->Forget(entry);
    });
  }
  world.Settle();
  EXPECT_EQ(answers, 3);
  EXPECT_EQ(cache->size(), 0u);
}

}  // namespace
}  // namespace lanyard::testing
