#include "node_agent/state/sqlite_store.h"

#include <future>
#include <limits>

#include "tests/unit/state/store_fixture.h"

namespace lanyard::testing {
namespace {

using SqliteStoreTest = StoreTest;

TEST_F(SqliteStoreTest, WhatWasAnsweredOkIsThereAfterAKill) {
  InAChildThatIsKilled({}, [](Agent& agent) {
    agent.store->SaveAuditHead({41, kHash});
    return agent.Record(Serial(1)).ok() && agent.Record(Serial(2)).ok();
  });
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_FALSE(agent->store->made_anew());
  EXPECT_EQ(agent->store->audit_head_at_start(), (AuditHead{41, kHash}));
  EXPECT_EQ(Sqlite(Path(), "SELECT serial, spiffe_id, not_after FROM issued"),
            "0001|spiffe://example.org/workload/1|1767229200\n0002|spiffe://example.org/workload/2|1767229200");
}

TEST_F(SqliteStoreTest, WritesThatWaitAreCommittedTogetherAndAnsweredInOrder) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  std::vector<int> order;
  {
    const Blocker blocker(Path());
    for (int i = 0; i < 500; ++i) {
      agent->store->RecordIssued(Serial(i), [&order, i](Status status) { order.push_back(status.ok() ? i : -1); });
    }
    EXPECT_TRUE(order.empty()) << "a callback ran inside the call";
    EXPECT_EQ(agent->store->stats().waiting, 500u);
  }
  ASSERT_TRUE(agent->Flush().ok());
  ASSERT_EQ(order.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  const StateStats stats = agent->store->stats();
  EXPECT_EQ(stats.writes, 500u);
  EXPECT_LE(stats.commits, 5u);
  EXPECT_EQ(stats.waiting, 0u);
  EXPECT_EQ(stats.last_commit, agent->clock.WallNow());
  EXPECT_GT(stats.bytes, 0u);
  EXPECT_EQ(agent->store->commit_seconds().Collect().histogram.sample_count, stats.commits);
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued"), "500");
}

TEST_F(SqliteStoreTest, RecordingASerialAgainChangesNothingAndIsNoError) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  IssuedSerial other = Serial(1, agent->clock.WallNow() + 9h);
  other.spiffe_id = "spiffe://example.org/other";
  EXPECT_TRUE(agent->Record(other).ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT spiffe_id, not_after FROM issued"), "spiffe://example.org/workload/1|1767229200");
}

TEST_F(SqliteStoreTest, TheSameSerialOfAnotherAuthorityIsAnotherCertificate) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  IssuedSerial other = Serial(1);
  other.authority = "ffff";
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  ASSERT_TRUE(agent->Record(other).ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued"), "2");
}

TEST_F(SqliteStoreTest, TheNewestHeadIsKeptAndFoundAtTheNextStart) {
  constexpr uint64_t kLargest = std::numeric_limits<int64_t>::max();
  {
    auto agent = NewAgent();
    ASSERT_TRUE(agent->Open().ok());
    EXPECT_TRUE(agent->store->made_anew());
    EXPECT_EQ(agent->store->audit_head_at_start(), std::nullopt);
    agent->store->SaveAuditHead({1, std::string(64, '1')});
    agent->store->SaveAuditHead({kLargest, std::string(64, '2')});
    EXPECT_TRUE(agent->Flush().ok());
    EXPECT_LE(agent->store->stats().commits, 2u);
  }
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_EQ(agent->store->audit_head_at_start(), (AuditHead{kLargest, std::string(64, '2')}));
}

TEST_F(SqliteStoreTest, AHeadThatNobodyFlushesIsCommittedByItself) {
  auto agent = NewAgent({.head_delay = 1ms});
  ASSERT_TRUE(agent->Open().ok());
  agent->store->SaveAuditHead({7, kHash});
  EXPECT_TRUE(RunUntil(agent->loop, [&] { return agent->store->stats().commits == 1; }));
  EXPECT_EQ(Sqlite(Path(), "SELECT seq FROM audit_head"), "7");
}

TEST_F(SqliteStoreTest, AHeadWaitsForAWriteToGoWith) {
  auto agent = NewAgent({.head_delay = 1h});
  ASSERT_TRUE(agent->Open().ok());
  agent->store->SaveAuditHead({7, kHash});
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  EXPECT_EQ(agent->store->stats().commits, 1u);
  EXPECT_EQ(agent->store->stats().writes, 2u);
}

TEST_F(SqliteStoreTest, AFlushOfNothingIsAnsweredWithoutWriting) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_TRUE(agent->Flush().ok());
  EXPECT_EQ(agent->store->stats().commits, 0u);
}

TEST_F(SqliteStoreTest, ADestroyedStoreNeverCallsBackButWritesWhatIsQueued) {
  auto agent = NewAgent({.head_delay = 1h});
  ASSERT_TRUE(agent->Open().ok());
  bool called = false;
  for (int i = 0; i < 50; ++i) agent->store->RecordIssued(Serial(i), [&](Status) { called = true; });
  agent->store->SaveAuditHead({50, kHash});
  agent->store.reset();
  RunUntilIdle(agent->loop);
  EXPECT_FALSE(called);
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued; SELECT seq FROM audit_head"), "50\n50");
}

TEST_F(SqliteStoreTest, ACallbackMayDestroyTheStoreOrWriteAgain) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  int called = 0;
  agent->store->RecordIssued(Serial(1), [&](Status) {
    agent->store->RecordIssued(Serial(2), [&](Status) {
      ++called;
      agent->store.reset();
    });
    for (int i = 3; i < 9; ++i) agent->store->RecordIssued(Serial(i), [&](Status) { ++called; });
  });
  EXPECT_TRUE(RunUntil(agent->loop, [&] { return called > 0; }));
  RunUntilIdle(agent->loop);
  EXPECT_EQ(called, 1);
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued"), "8");
}

TEST_F(SqliteStoreTest, AllItsFilesAreForTheOwnerAloneWhateverTheUmask) {
  const mode_t before = umask(0);
  auto agent = NewAgent();
  const Status opened = agent->Open();
  umask(before);
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  for (const char* name : {"state.db", "state.db-wal", "state.db-shm", "state.reserve"}) {
    EXPECT_EQ(Mode(name), 0600u) << name;
  }
}

TEST_F(SqliteStoreTest, AClosedStoreLeavesNoJournal) {
  MakeDatabase(10);
  EXPECT_FALSE(std::filesystem::exists(Path("state.db-wal")));
  EXPECT_FALSE(std::filesystem::exists(Path("state.db.new")));
}

TEST_F(SqliteStoreTest, AnotherProgramCanReadAndBackUpWhileTheAgentRuns) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0001");
  EXPECT_EQ(Sqlite(Path(), ".backup '" + temp_.Path("copy.db") + "'"), "");
  ASSERT_TRUE(agent->Record(Serial(2)).ok());
  EXPECT_EQ(Sqlite(temp_.Path("copy.db"), "PRAGMA integrity_check; SELECT serial FROM issued"), "ok\n0001");
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued"), "2");
}

TEST_F(SqliteStoreTest, ForgetsSerialsOnlyWhenTheyExpiredLongAgo) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  const WallTime start = agent->clock.WallNow();
  ASSERT_TRUE(agent->Record(Serial(1, start + 1h)).ok());
  agent->clock.Advance(kKeepSerials);
  ASSERT_TRUE(agent->Record(Serial(2, start + kKeepSerials + 1h)).ok());
  ASSERT_TRUE(agent->Flush().ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0001\n0002");
  agent->clock.Advance(2h);
  ASSERT_TRUE(agent->Record(Serial(3, start + kKeepSerials + 3h)).ok());
  ASSERT_TRUE(agent->Flush().ok());  // the thread is through with the batch before
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0002\n0003");
}

TEST_F(SqliteStoreTest, LooksForExpiredSerialsOnceAMinuteAtMost) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  const WallTime long_ago = agent->clock.WallNow() - 2 * kKeepSerials;
  ASSERT_TRUE(agent->Record(Serial(1, long_ago)).ok());
  ASSERT_TRUE(agent->Flush().ok());
  ASSERT_TRUE(agent->Record(Serial(2, long_ago)).ok());
  ASSERT_TRUE(agent->Flush().ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0002");
  agent->clock.Advance(1min);
  ASSERT_TRUE(agent->Record(Serial(3)).ok());
  ASSERT_TRUE(agent->Flush().ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0003");
}

TEST_F(SqliteStoreTest, ALongBacklogOfExpiredSerialsGoesBatchByBatch) {
  MakeDatabase();
  Sqlite(Path(),
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
         "INSERT INTO issued SELECT 'aa', printf('%08x', i), 'spiffe://example.org/old', 1000 FROM n");
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  std::vector<std::string> left;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(agent->Record(Serial(i)).ok());
    ASSERT_TRUE(agent->Flush().ok());
    left.push_back(Sqlite(Path(), "SELECT count(*) FROM issued WHERE authority = 'aa'"));
  }
  EXPECT_THAT(left, ::testing::ElementsAre("1500", "500", "0"));
}

TEST_F(SqliteStoreTest, TheJournalDoesNotGrowWithoutBound) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 300; ++i) agent->store->RecordIssued(Serial(round * 300 + i), [](Status) {});
    ASSERT_TRUE(agent->Flush().ok());
  }
  EXPECT_LT(std::filesystem::file_size(Path("state.db-wal")), 8u << 20);
  EXPECT_EQ(agent->store->health().level, HealthLevel::kGood);
}

}  // namespace
}  // namespace lanyard::testing
