#include "node_agent/identity/crl_keeper.h"

#include <set>

#include "tests/unit/identity/crl_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using CrlKeeperTest = CrlTestBase;

TEST_F(CrlKeeperTest, HandsOutNothingUntilTheFirstListIsSignedAndThenTellsOfIt) {
  Start();
  EXPECT_EQ(crls->Current().value(), nullptr);
  world.Settle();
  const Crl list = List();
  EXPECT_EQ(changes, 1);
  EXPECT_THAT(list.fields().entries, IsEmpty());
  EXPECT_TRUE(list.CheckSignedBy(ca->source().bundle()->x509_authorities().at(0)).ok());
  EXPECT_EQ(crls->health().level, HealthLevel::kGood);
}

TEST_F(CrlKeeperTest, AListBeginsAMinuteAgoAndEndsLongAfterTheNextOneIsDue) {
  Start();
  world.Settle();
  const WallTime now = world.clock.WallNow();
  EXPECT_EQ(List().this_update(), now - 60s);
  EXPECT_EQ(List().next_update(), now + 168h);
  EXPECT_GE(kCrlLife / kCrlRefresh, 100);
}

TEST_F(CrlKeeperTest, ThereIsExactlyOneListOfEachRootOfTheBundleOverTwoRotations) {
  Start();
  world.Settle();
  std::set<std::string> roots;
  std::size_t most = 0;
  for (int second = 0; second < 1100; second += 5) {
    world.Pass(5s, 5s);
    const auto& authorities = ca->source().bundle()->x509_authorities();
    const std::vector<Crl> lists = Lists();
    ASSERT_EQ(lists.size(), authorities.size()) << "after " << second << " s";
    for (const Certificate& root : authorities) {
      ASSERT_EQ(std::count_if(lists.begin(), lists.end(), [&](const Crl& crl) { return crl.CheckSignedBy(root).ok(); }),
                1)
          << "after " << second << " s";
      roots.insert(root.serial_hex());
    }
    most = std::max(most, lists.size());
  }
  EXPECT_GE(roots.size(), 3u);
  EXPECT_EQ(most, 2u);
}

TEST_F(CrlKeeperTest, AListIsSignedAnewEveryHourWithAHigherNumber) {
  options.ca_ttl = 720h;
  Start();
  world.Settle();
  const Crl first = List();
  world.Pass(kCrlRefresh - 2s, 60s);
  EXPECT_EQ(List(), first);
  world.Pass(4s);
  const Crl second = List();
  EXPECT_GT(Number(second), Number(first));
  EXPECT_GT(second.this_update(), first.this_update());
  EXPECT_EQ(changes, 2);
}

TEST_F(CrlKeeperTest, NothingIsSignedOrToldWhileNothingIsDue) {
  options.ca_ttl = 720h;
  Start();
  world.Settle();
  const CrlSetPtr set = crls->Current().value();
  world.Pass(30min, 30s);
  EXPECT_EQ(crls->Current().value(), set) << "not even a copy of it";
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(store.crl_numbers[CaId()].size(), 1u);
}

TEST_F(CrlKeeperTest, WhatIsRevokedIsInTheListAtOnce) {
  Start();
  world.Settle();
  const Crl before = List();
  EXPECT_TRUE(Revoke(Revoked("0a0b")).ok());
  EXPECT_EQ(List(), before) << "not twice in a second";
  world.Pass(1s);
  EXPECT_THAT(Serials(List()), ElementsAre("0a0b"));
  EXPECT_THAT(store.revoked, ElementsAre(::testing::Field(&RevokedSerial::serial, "0a0b")));
  EXPECT_EQ(changes, 2);
  world.Pass(10s);
  EXPECT_TRUE(Revoke(Revoked("01")).ok());
  EXPECT_THAT(Serials(List()), ElementsAre("01", "0a0b")) << "without any waiting";
}

TEST_F(CrlKeeperTest, ManyRevocationsInASecondAreTwoListsWhoseTimesAndNumbersRise) {
  Start();
  world.Pass(10s);
  const Crl before = List();
  for (int i = 1; i <= 50; ++i)
    crls->Revoke(Revoked(fmt::format("{:04x}", i)), [](const Status& status) { EXPECT_TRUE(status.ok()); });
  world.Settle();
  const Crl first = List();
  world.Pass(1s);
  const Crl second = List();
  EXPECT_EQ(Serials(second).size(), 50u);
  EXPECT_LT(before.this_update(), first.this_update());
  EXPECT_LT(first.this_update(), second.this_update());
  EXPECT_LT(Number(first), Number(second));
  EXPECT_EQ(store.crl_numbers[CaId()].size(), 3u);
}

TEST_F(CrlKeeperTest, RevokingAgainSignsNothing) {
  Start();
  world.Pass(10s);
  EXPECT_TRUE(Revoke(Revoked("01")).ok());
  const Crl list = List();
  world.Pass(10s);
  EXPECT_TRUE(Revoke(Revoked("01")).ok());
  world.Pass(10s);
  EXPECT_EQ(List(), list);
}

TEST_F(CrlKeeperTest, WhatTheStoreHadIsListedAfterARestartAndOnlyInTheListOfItsCa) {
  Start();
  at_start.revoked = {Revoked("01"), Revoked("02", -120s), Revoked("03")};
  at_start.revoked[2].authority = "ffff";
  Restart();
  world.Settle();
  EXPECT_THAT(Serials(List()), ElementsAre("01"));
}

TEST_F(CrlKeeperTest, WhatHasExpiredLeavesTheListWithTheNextOne) {
  options.ca_ttl = 720h;
  Start();
  world.Pass(2s);
  ASSERT_TRUE(Revoke(Revoked("01", 60s)).ok());
  ASSERT_THAT(Serials(List()), ElementsAre("01"));
  world.Pass(kCrlRefresh + 1s, 10s);
  EXPECT_THAT(Serials(List()), IsEmpty());
}

TEST_F(CrlKeeperTest, ANumberIsOnRecordBeforeItsListIsSigned) {
  store.silent = true;
  Start();
  world.Settle();
  EXPECT_EQ(crls->Current().value(), nullptr);
  ASSERT_EQ(store.crl_numbers[CaId()].size(), 1u);
  store.Answer();
  world.Settle();
  EXPECT_EQ(Number(List()), store.crl_numbers[CaId()].back());
}

TEST_F(CrlKeeperTest, NoNumberIsUsedTwiceAcrossKillsNorAfterTheStoreWasLostNorWithAClockThatWasSetBack) {
  options.ca_ttl = 720h;
  Start();
  std::uint64_t last = 0;
  const auto expect_higher = [&](std::string_view when) {
    for (int list = 0; list < 3; ++list) {
      world.Pass(2s);
      ASSERT_GT(Number(List()), last) << when;
      last = Number(List());
      crls->Revoke(Revoked(fmt::format("{:016x}", last + 1)), [](const Status&) {});
    }
  };
  expect_higher("at first");
  store.silent = true;  // the next number reaches the disk, and the kill comes before the list
  world.Pass(2s);
  last = std::max(last, store.crl_numbers[CaId()].back());
  store.Answer();
  Restart();
  expect_higher("after a kill");
  world.clock.JumpWall(-4min);
  Restart();
  expect_higher("with the clock set back");
  world.clock.JumpWall(5min);
  store.crl_numbers.clear();
  at_start = {};
  Restart();
  expect_higher("without what the store had");
}

TEST_F(CrlKeeperTest, AListIsNeverOfTomorrowWhenTheClockIsSetBack) {
  options.ca_ttl = 720h;
  Start();
  world.Pass(10s);
  const Crl before = List();
  world.clock.JumpWall(-200s);
  world.Pass(2s);
  const Crl after = List();
  EXPECT_LE(after.this_update(), world.clock.WallNow());
  EXPECT_LT(after.this_update(), before.this_update());
  EXPECT_GT(Number(after), Number(before));
}

TEST_F(CrlKeeperTest, AfterASmallStepBackThisUpdateStillRises) {
  options.ca_ttl = 720h;
  Start();
  world.Pass(10s);
  const Crl before = List();
  world.clock.JumpWall(-30s);
  ASSERT_TRUE(Revoke(Revoked("01")).ok());
  EXPECT_THAT(Serials(List()), ElementsAre("01"));
  EXPECT_GT(List().this_update(), before.this_update());
  EXPECT_LE(List().this_update(), world.clock.WallNow());
}

TEST_F(CrlKeeperTest, AListIsSignedAnewWhenTheClockLeapsOrTheMachineSlept) {
  options.ca_ttl = 720h;
  Start();
  world.Pass(10s);
  world.clock.JumpWall(24h);
  world.Pass(2s);
  EXPECT_GT(List().this_update(), world.clock.WallNow() - 70s);
}

TEST_F(CrlKeeperTest, ABundleIsHandedOutTogetherWithTheListOfItsNewRoot) {
  Start();
  world.Pass(10s);
  const CrlSetPtr before = crls->Current().value();
  const int told = changes;
  store.silent = true;
  ca->Rotate([](const Status& status) { EXPECT_TRUE(status.ok()) << status; });
  world.Settle();
  ASSERT_EQ(ca->source().bundle()->x509_authorities().size(), 2u);
  EXPECT_EQ(crls->Current().value(), nullptr) << "not the new bundle with the old lists";
  EXPECT_EQ(changes, told);
  store.Answer();
  world.Settle();
  EXPECT_EQ(Lists().size(), 2u);
  EXPECT_GT(crls->Current().value()->version, before->version);
  EXPECT_EQ(changes, told + 1);
}

TEST_F(CrlKeeperTest, ADiskThatIsSilentHoldsANewBundleUpForItsPatienceOnly) {
  Start();
  world.Pass(10s);
  store.silent = true;
  ca->Rotate([](const Status&) {});
  world.Settle();
  ASSERT_EQ(crls->Current().value(), nullptr);
  world.Pass(kDiskPatience + 1s);
  EXPECT_EQ(Lists().size(), 1u) << "the list of the old root";
  EXPECT_EQ(crls->health().level, HealthLevel::kBroken);
  EXPECT_THAT(crls->health().text, HasSubstr("the disk has not answered for 5s"));
  store.Answer();
  world.Pass(5s);
  EXPECT_EQ(Lists().size(), 2u);
  EXPECT_EQ(crls->health().level, HealthLevel::kGood) << crls->health().text;
}

TEST_F(CrlKeeperTest, ARootThatLeavesTheBundleTakesItsListWithIt) {
  Start();
  world.Pass(10s);
  ca->Rotate([](const Status&) {});
  world.Settle();
  ASSERT_EQ(Lists().size(), 2u);
  const auto old = Lists().at(0);
  world.Pass(80s);  // until the last SVID that it may have signed is over
  ASSERT_EQ(ca->source().bundle()->x509_authorities().size(), 1u);
  EXPECT_NE(List(), old);
  EXPECT_TRUE(List().CheckSignedBy(ca->source().bundle()->x509_authorities().at(0)).ok());
}

TEST_F(CrlKeeperTest, WithoutAnyListNothingIsHandedOutAndTheReasonIsTold) {
  store.broken_in_reserve = Error(StatusCode::kUnavailable, "the disk is on fire");
  Start();
  world.Settle();
  EXPECT_EQ(crls->Current().status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(crls->Current().status()), HasSubstr("the disk is on fire"));
  EXPECT_EQ(changes, 1) << "who waits is told";
  EXPECT_EQ(crls->health().level, HealthLevel::kBroken);
  store.broken_in_reserve = OkStatus();
  world.Pass(3s);
  EXPECT_EQ(Lists().size(), 1u);
  EXPECT_EQ(changes, 2);
}

TEST_F(CrlKeeperTest, AListThatCannotBeRenewedStaysAndHealthSaysSo) {
  options.ca_ttl = 720h;
  Start();
  world.Pass(10s);
  const Crl old = List();
  store.broken_in_reserve = Error(StatusCode::kUnavailable, "the disk is on fire");
  world.Pass(kCrlRefresh, 30s);
  EXPECT_EQ(List(), old);
  EXPECT_EQ(crls->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(crls->health().text, ::testing::AllOf(HasSubstr(CaId()), HasSubstr("the disk is on fire"),
                                                    HasSubstr("The last one counts until")));
  EXPECT_EQ(Revoke(Revoked("01")).code(), StatusCode::kUnavailable) << "in force as soon as it can be, but not durable";
  world.Pass(5s);
  EXPECT_EQ(crls->health().level, HealthLevel::kBroken);
  EXPECT_THAT(crls->health().text, HasSubstr("What was revoked since then is still accepted"));
  store.broken_in_reserve = OkStatus();
  world.Pass(5s);
  EXPECT_THAT(Serials(List()), ElementsAre("01"));
  EXPECT_EQ(crls->health().level, HealthLevel::kGood);
}

TEST_F(CrlKeeperTest, StatsCountEntriesAndKnowWhichListEndsFirst) {
  Start();
  world.Pass(10s);
  EXPECT_TRUE(Revoke(Revoked("01")).ok());
  EXPECT_TRUE(Revoke(Revoked("02")).ok());
  world.Pass(2s);
  EXPECT_EQ(crls->stats().entries, 2u);
  EXPECT_EQ(crls->stats().earliest_next_update, List().next_update());
}

TEST_F(CrlKeeperTest, DestroyedInTheMiddleOfSigningItLeavesNothingBehind) {
  Start();
  crls->Revoke(Revoked("01"), [](const Status&) {});
  crls.reset();
  world.Pass(3s);
  ca->Rotate([](const Status&) {});
  world.Settle();
  EXPECT_EQ(changes, 0);
}

}  // namespace
}  // namespace lanyard::testing
