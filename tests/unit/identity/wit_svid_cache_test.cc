// What WIT-SVIDs have of their own; svid_cache_test.cc has the cache itself.
#include <nlohmann/json.hpp>

#include "node_agent/identity/svid_cache.h"
#include "pki/jwk.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

struct WitSvidCacheTest : ::testing::Test {
  World world;
  FakeSource source{world.loop, world.clock};
  EntryPtr entry = MakeEntry("refund");
  std::optional<WitSvidCache> cache;

  void SetUp() override {
    cache.emplace(source, world.loop, world.clock, SvidCacheOptions{.default_ttl = 100s}, [] { return 0.5; });
  }
  CachedWitSvidPtr Get() {
    std::optional<Result<CachedWitSvidPtr>> answer;
    cache->Get(entry, [&](Result<CachedWitSvidPtr> got) { answer = std::move(got); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return answer->value();
  }
};

TEST_F(WitSvidCacheTest, KeepsOneTokenWithItsKeyAsAJwk) {
  const CachedWitSvidPtr first = Get();
  EXPECT_EQ(Get(), first);
  EXPECT_EQ(source.asked_wit.size(), 1u);
  EXPECT_TRUE(source.asked.empty()) << "no certificate was asked for";
  nlohmann::json jwk = nlohmann::json::parse(first->key_jwk.expose());
  EXPECT_EQ(jwk["alg"], "ES256");
  EXPECT_EQ(jwk.erase("d"), 1u);
  EXPECT_TRUE(PublicKeyFromJwk(jwk)->SameAs(first->svid.key().public_key()));
}

TEST_F(WitSvidCacheTest, IsRenewedWithAnotherKeyAtHalfLifeWhileSomebodyHoldsIt) {
  const CachedWitSvidPtr first = Get();
  const WitSvidCache::Hold hold = cache->Retain(entry);
  std::vector<EntryPtr> changed;
  cache->OnChange([&](std::span<const EntryPtr> entries) { changed.assign(entries.begin(), entries.end()); });
  world.Pass(49s);
  EXPECT_EQ(cache->Peek(entry), first);
  world.Pass(2s);
  const CachedWitSvidPtr second = cache->Peek(entry);
  ASSERT_NE(second, nullptr);
  EXPECT_NE(second->svid.token(), first->svid.token());
  EXPECT_FALSE(second->svid.key().public_key().SameAs(first->svid.key().public_key()));
  EXPECT_EQ(changed, std::vector<EntryPtr>{entry});
  EXPECT_EQ(source.asked_wit[1].cause, IssueCause::kRenewal);
}

TEST_F(WitSvidCacheTest, IsRenewedSoonAfterAnotherKeyHasBegunToSignTokensAndNotAfterAnotherIssuer) {
  const CachedWitSvidPtr first = Get();
  const WitSvidCache::Hold hold = cache->Retain(entry);
  source.ChangeSigner();
  world.Pass(10s);
  EXPECT_EQ(cache->Peek(entry), first);
  source.ChangeTokenSigner();
  world.Pass(10s);
  EXPECT_NE(cache->Peek(entry)->svid.key_id(), first->svid.key_id());
}

TEST_F(WitSvidCacheTest, AnExpiredOneIsNotServed) {
  Get();
  const WitSvidCache::Hold hold = cache->Retain(entry);
  source.failure = Error(StatusCode::kUnavailable, "no signer");
  world.Pass(101s);
  EXPECT_EQ(cache->Peek(entry), nullptr);
  EXPECT_EQ(cache->stats().expired, 1u);
}

TEST_F(WitSvidCacheTest, OneFromAFutureThatTheClockWasWrongAboutIsNotServed) {
  Get();
  const WitSvidCache::Hold hold = cache->Retain(entry);
  source.failure = Error(StatusCode::kUnavailable, "no signer");
  world.clock.JumpWall(-1h);
  world.Pass(2s);
  EXPECT_EQ(cache->Peek(entry), nullptr);
}

TEST_F(WitSvidCacheTest, AForgottenOneIsGone) {
  const CachedWitSvidPtr first = Get();
  cache->Forget(entry);
  EXPECT_EQ(cache->Peek(entry), nullptr);
  EXPECT_NE(Get(), first);
}

}  // namespace
}  // namespace lanyard::testing
