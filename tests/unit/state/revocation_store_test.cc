// What the store keeps of revocations: serials, and the numbers of the lists that they are in.
#include "tests/unit/state/store_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using RevocationStoreTest = StoreTest;

TEST_F(RevocationStoreTest, WhatWasAnsweredOkIsThereAfterAKill) {
  InAChildThatIsKilled({}, [](Agent& agent) {
    return agent.Revoke(Revoked(1)).ok() && agent.Revoke(Revoked(2)).ok() && agent.UseNumber("0a0b", 41).ok() &&
           agent.UseNumber("ffff", 3).ok();
  });
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_THAT(agent->store->revocations_at_start().revoked, ElementsAre(Revoked(1), Revoked(2)));
  EXPECT_THAT(agent->store->revocations_at_start().crl_numbers, ElementsAre(Pair("0a0b", 41u), Pair("ffff", 3u)));
  EXPECT_EQ(Sqlite(Path(), "SELECT authority, serial, not_after, revoked_at FROM revoked"),
            "0a0b|0001|1767229200|1767225600\n0a0b|0002|1767229200|1767225600");
}

TEST_F(RevocationStoreTest, ANewStoreKnowsOfNone) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_THAT(agent->store->revocations_at_start().revoked, IsEmpty());
  EXPECT_THAT(agent->store->revocations_at_start().crl_numbers, IsEmpty());
}

TEST_F(RevocationStoreTest, RevokingAgainKeepsTheFirstTime) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->Revoke(Revoked(1)).ok());
  RevokedSerial again = Revoked(1);
  again.revoked_at += 5min;
  EXPECT_TRUE(agent->Revoke(again).ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT revoked_at FROM revoked"), "1767225600");
}

TEST_F(RevocationStoreTest, TheSameSerialOfAnotherAuthorityIsAnotherCertificate) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  RevokedSerial other = Revoked(1);
  other.authority = "ffff";
  ASSERT_TRUE(agent->Revoke(Revoked(1)).ok());
  ASSERT_TRUE(agent->Revoke(other).ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM revoked"), "2");
}

TEST_F(RevocationStoreTest, ANumberNeverGoesBackWhateverIsAskedForAndInWhichOrder) {
  {
    auto agent = NewAgent();
    ASSERT_TRUE(agent->Open().ok());
    ASSERT_TRUE(agent->UseNumber("0a0b", 9).ok());
    ASSERT_TRUE(agent->UseNumber("0a0b", 4).ok());
    {
      const Blocker blocker(Path());  // the rest is one batch
      for (const uint64_t number : {12u, 15u, 11u}) agent->store->UseCrlNumber("0a0b", number, [](Status) {});
    }
    ASSERT_TRUE(agent->Flush().ok());
  }
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_EQ(agent->store->revocations_at_start().crl_numbers.at("0a0b"), 15u);
}

TEST_F(RevocationStoreTest, ANumberThatWasAnsweredOkIsOnTheDiskAlready) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  std::string seen;
  agent->store->UseCrlNumber("0a0b", 5, [&](Status status) {
    seen = status.ok() ? Sqlite(Path(), "SELECT number FROM crl_number") : "failed";
  });
  EXPECT_TRUE(RunUntil(agent->loop, [&] { return !seen.empty(); }));
  EXPECT_EQ(seen, "5");
}

TEST_F(RevocationStoreTest, ForgetsRevokedSerialsOnlyWhenTheyExpiredLongAgo) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  const WallTime start = agent->clock.WallNow();
  ASSERT_TRUE(agent->Revoke(Revoked(1, start + 1h)).ok());
  ASSERT_TRUE(agent->Revoke(Revoked(2, start + 48h)).ok());
  ASSERT_TRUE(agent->UseNumber("0a0b", 5).ok());
  agent->clock.Advance(kKeepSerials);
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  ASSERT_TRUE(agent->Flush().ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM revoked"), "0001\n0002");
  agent->clock.Advance(2h);
  ASSERT_TRUE(agent->Record(Serial(2)).ok());
  ASSERT_TRUE(agent->Flush().ok());  // the thread is through with the batch before
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM revoked; SELECT number FROM crl_number"), "0002\n5");
}

TEST_F(RevocationStoreTest, AreCommittedAndCountedWithWhatElseWaits) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  std::vector<std::string> order;
  {
    const Blocker blocker(Path());
    const auto note = [&order](std::string what) {
      return [&order, what = std::move(what)](Status status) { order.push_back(status.ok() ? what : "failed"); };
    };
    agent->store->RecordRevoked(Revoked(1), note("revoked"));
    agent->store->RecordIssued(Serial(2), note("issued"));
    agent->store->UseCrlNumber("0a0b", 1, note("number"));
  }
  ASSERT_TRUE(agent->Flush().ok());
  EXPECT_THAT(order, ElementsAre("revoked", "issued", "number"));
  EXPECT_EQ(agent->store->stats().writes, 3u);
  EXPECT_LE(agent->store->stats().commits, 2u);
}

}  // namespace
}  // namespace lanyard::testing
