#include "node_agent/identity/update_hub.h"

#include <algorithm>

#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

struct UpdateHubTest : ::testing::Test {
  World world;
  FakeSource source{world.loop, world.clock};
  SvidCache cache{source, world.loop, world.clock, SvidCacheOptions{.default_ttl = 1h}, [] { return 0.5; }};
  WitSvidCache wits{source, world.loop, world.clock, SvidCacheOptions{.default_ttl = 1h}, [] { return 0.5; }};
  std::unique_ptr<UpdateHub> hub = std::make_unique<UpdateHub>(cache, wits, source, world.clock);

  struct Stream {
    std::unique_ptr<UpdateHub::Subscription> subscription;
    std::vector<Update> updates;
  };
  std::unique_ptr<Stream> Open(std::vector<EntryPtr> interest = {}, Shows shows = Shows::kBundleDocument) {
    auto stream = std::make_unique<Stream>();
    stream->subscription =
        hub->Subscribe(shows, [raw = stream.get()](Update update) { raw->updates.push_back(update); });
    stream->subscription->SetInterest(std::move(interest));
    return stream;
  }
  // The SVIDs of these entries are others, or gone.
  void Change(const std::vector<EntryPtr>& entries) {
    for (const EntryPtr& entry : entries) cache.Get(entry, [](Result<CachedSvidPtr>) {});
    world.Settle();
    for (const EntryPtr& entry : entries) cache.Forget(entry);
  }
};

TEST_F(UpdateHubTest, CallsOnlyThoseWhoShowTheEntry) {
  const EntryPtr one = MakeEntry("one"), two = MakeEntry("two");
  const auto first = Open({one}), both = Open({one, two}), second = Open({two}), none = Open();
  Change({one});
  EXPECT_TRUE(first->updates.empty()) << "never before the call has returned";
  world.Pass(10ms);
  EXPECT_EQ(first->updates.size(), 1u);
  EXPECT_TRUE(first->updates[0].svids);
  EXPECT_FALSE(first->updates[0].bundle);
  EXPECT_EQ(both->updates.size(), 1u);
  EXPECT_TRUE(second->updates.empty());
  EXPECT_TRUE(none->updates.empty());
}

TEST_F(UpdateHubTest, ABatchOfChangesIsOneCall) {
  const EntryPtr one = MakeEntry("one"), two = MakeEntry("two");
  const auto stream = Open({one, two});
  Change({one});
  Change({two, one});
  source.ChangeBundle();
  hub->NotifyRegistry();
  world.Pass(10ms);
  ASSERT_EQ(stream->updates.size(), 1u);
  EXPECT_TRUE(stream->updates[0].svids && stream->updates[0].bundle && stream->updates[0].registry);
}

TEST_F(UpdateHubTest, AnotherKeyForTokensIsToldApartFromAnotherRoot) {
  const auto stream = Open();
  source.ChangeTokenKeys();
  world.Pass(10ms);
  ASSERT_EQ(stream->updates.size(), 1u);
  EXPECT_TRUE(stream->updates[0].token_keys);
  EXPECT_FALSE(stream->updates[0].bundle) << "who shows certificates need not send them again";
  hub->NotifyBundles();
  world.Pass(10ms);
  ASSERT_EQ(stream->updates.size(), 2u);
  EXPECT_TRUE(stream->updates[1].token_keys && stream->updates[1].bundle);
}

TEST_F(UpdateHubTest, EachIsToldOnlyOfTheKeysThatItShows) {
  const auto x509 = Open({}, Shows::kX509Bundles), tokens = Open({}, Shows::kTokenBundles);
  const auto wits_shown = Open({}, Shows::kWitSvids);
  source.ChangeTokenKeys();
  world.Pass(10ms);
  EXPECT_TRUE(x509->updates.empty());
  EXPECT_EQ(tokens->updates.size(), 1u);
  source.ChangeRoot();
  world.Pass(10ms);
  EXPECT_EQ(x509->updates.size(), 1u);
  EXPECT_EQ(tokens->updates.size(), 1u);
  EXPECT_TRUE(wits_shown->updates.empty()) << "its messages have no keys of authorities";
  hub->NotifyCrls();
  world.Pass(10ms);
  EXPECT_EQ(x509->updates.size(), 2u);
  EXPECT_EQ(tokens->updates.size(), 1u) << "tokens are on no revocation list";
  hub->NotifyRegistry();
  world.Pass(10ms);
  EXPECT_EQ(x509->updates.size(), 3u);
  EXPECT_EQ(tokens->updates.size(), 2u);
  EXPECT_EQ(wits_shown->updates.size(), 1u);
}

TEST_F(UpdateHubTest, ARenewedWitSvidIsToldToThoseWhoShowItAndHeldForThem) {
  const EntryPtr entry = MakeEntry("refund");
  auto stream = Open({entry}, Shows::kWitSvids);
  const auto x509 = Open({entry}, Shows::kX509Svids);
  wits.Get(entry, [](Result<CachedWitSvidPtr>) {});
  world.Pass(31min);
  EXPECT_EQ(source.asked_wit.size(), 2u);
  ASSERT_EQ(stream->updates.size(), 1u);
  EXPECT_TRUE(stream->updates[0].svids);
  EXPECT_TRUE(x509->updates.empty());
  stream.reset();
  world.Pass(31min);
  EXPECT_EQ(wits.size(), 0u);
}

TEST_F(UpdateHubTest, FiftyRenewedSvidsAreOneCall) {
  std::vector<EntryPtr> entries;
  for (int i = 0; i < 50; ++i) entries.push_back(MakeEntry("agent" + std::to_string(i)));
  const auto stream = Open(entries);
  for (const EntryPtr& entry : entries) cache.Get(entry, [](Result<CachedSvidPtr>) {});
  world.Pass(31min);
  EXPECT_EQ(stream->updates.size(), 1u);
}

TEST_F(UpdateHubTest, ASlowSubscriberFindsOnlyTheNewestState) {
  const EntryPtr entry = MakeEntry("refund");
  std::vector<std::uint64_t> seen;
  auto subscription = hub->Subscribe(Shows::kX509Svids, [&](Update) { seen.push_back(cache.Peek(entry)->version); });
  subscription->SetInterest({entry});
  cache.Get(entry, [](Result<CachedSvidPtr>) {});
  world.Settle();
  source.ChangeSigner();
  world.Pass(5s, 10ms);
  source.ChangeSigner();
  source.ChangeSigner();
  world.Pass(5s, 10ms);
  ASSERT_FALSE(seen.empty());
  EXPECT_LE(seen.size(), 2u);
  EXPECT_EQ(seen.back(), cache.Peek(entry)->version);
}

TEST_F(UpdateHubTest, HoldsTheEntriesItShows) {
  const EntryPtr entry = MakeEntry("refund");
  auto stream = Open({entry});
  cache.Get(entry, [](Result<CachedSvidPtr>) {});
  world.Pass(31min);
  EXPECT_EQ(source.asked.size(), 2u);
  stream.reset();
  world.Pass(31min);
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(source.asked.size(), 2u);
}

TEST_F(UpdateHubTest, AnEntryThatIsNoLongerShownIsNoLongerTold) {
  const EntryPtr one = MakeEntry("one"), two = MakeEntry("two");
  const auto stream = Open({one});
  stream->subscription->SetInterest({two});
  Change({one});
  world.Pass(10ms);
  EXPECT_TRUE(stream->updates.empty());
}

TEST_F(UpdateHubTest, ASubscriptionMayEndInsideItsOwnCallback) {
  std::unique_ptr<UpdateHub::Subscription> subscription;
  auto state = std::make_unique<int>(0);
  subscription = hub->Subscribe(Shows::kX509Svids, [&subscription, state = std::move(state)](Update) {
    subscription.reset();
    ++*state;  // what the callback owns is still there
  });
  hub->NotifyBundles();
  world.Pass(10ms);
  EXPECT_EQ(subscription, nullptr);
  EXPECT_EQ(hub->subscriptions(), 0u);
  hub->NotifyBundles();
  world.Pass(10ms);
}

TEST_F(UpdateHubTest, ASubscriptionEndedByAnothersCallbackIsNotCalled) {
  std::vector<std::unique_ptr<UpdateHub::Subscription>> all(2);
  int calls = 0;
  for (auto& subscription : all) {
    subscription = hub->Subscribe(Shows::kX509Svids, [&](Update) {
      ++calls;
      for (auto& other : all) other.reset();
    });
  }
  hub->NotifyBundles();
  world.Pass(10ms);
  EXPECT_EQ(calls, 1);
}

TEST_F(UpdateHubTest, ACallbackMaySubscribeAnotherAndChangeItsInterest) {
  const EntryPtr entry = MakeEntry("refund");
  std::unique_ptr<Stream> opened;
  std::unique_ptr<UpdateHub::Subscription> subscription;
  subscription = hub->Subscribe(Shows::kX509Svids, [&](Update) {
    subscription->SetInterest({entry});
    if (!opened) opened = Open({entry});
  });
  hub->NotifyRegistry();
  world.Pass(10ms);
  ASSERT_NE(opened, nullptr);
  Change({entry});
  world.Pass(10ms);
  EXPECT_EQ(opened->updates.size(), 1u);
}

TEST_F(UpdateHubTest, ThousandsOfSubscribersLetOtherWorkIn) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 5000; ++i) streams.push_back(Open());
  const auto called = [&] {
    return std::count_if(streams.begin(), streams.end(), [](const auto& stream) { return !stream->updates.empty(); });
  };
  hub->NotifyBundles();
  std::ptrdiff_t called_before_other_work = -1;
  const auto other_work = world.clock.CallAfter(kUpdateBatchWindow, [&] { called_before_other_work = called(); });
  world.clock.Advance(10ms);
  EXPECT_EQ(called_before_other_work, static_cast<std::ptrdiff_t>(kUpdateSlice));
  EXPECT_EQ(called(), 5000);
}

TEST_F(UpdateHubTest, ASubscriptionMayOutliveTheHub) {
  const auto stream = Open({MakeEntry("refund")});
  hub.reset();
  source.ChangeBundle();
  stream->subscription->SetInterest({});
}

}  // namespace
}  // namespace lanyard::testing
