// What a bad disk, a careless hand and a full file system do to the store, and that it gets over them.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/state/store_fixture.h"

namespace lanyard::testing {
namespace {

using ::testing::AllOf;

class StoreTroubleTest : public StoreTest {
 protected:
  void TearDown() override {
    while (umount2(directory_.c_str(), MNT_DETACH) == 0) {
    }
  }
  // The data directory on a file system of a megabyte. False without the right to mount one.
  bool MountSmallDisk() { return mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=1m,mode=0700") == 0; }

  void FillDisk() const {
    const int fd = open(Path("filler").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    const std::string block(4096, 'f');
    while (write(fd, block.data(), block.size()) > 0) {
    }
    close(fd);
  }
  void MakeRoom() const { std::filesystem::remove(Path("filler")); }

  // Writes until one fails, and returns how many were answered OK before.
  static int RecordUntilFull(Agent& agent, Status& failure, int from = 0) {
    for (int i = from; i < from + 1000; ++i) {
      failure = agent.Record(Serial(i));
      if (!failure.ok()) return i;
    }
    return -1;
  }
};

constexpr char kNeedsMount[] = "needs root, to mount a file system of its own";
constexpr SqliteOptions kSmall{.reserve_bytes = 128 * 1024, .head_delay = 1h, .probe_after = 1h};

TEST_F(StoreTroubleTest, AFullDiskIsAnErrorThatSaysWhatToDoAndEndsWhenThereIsRoom) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  auto agent = NewAgent(kSmall);
  ASSERT_TRUE(agent->Open().ok());
  FillDisk();
  Status failure;
  const int written = RecordUntilFull(*agent, failure);
  ASSERT_GE(written, 0);
  EXPECT_EQ(failure.code(), StatusCode::kResourceExhausted) << failure;
  EXPECT_THAT(Text(failure), AllOf(HasSubstr(Path()), HasSubstr("disk full; make room")));
  EXPECT_EQ(agent->store->health().level, HealthLevel::kBroken);
  EXPECT_THAT(agent->store->health().text,
              AllOf(HasSubstr("make room"), HasSubstr("no new identity is issued since 2026-01-01T00:00:00Z")));
  EXPECT_EQ(agent->store->stats().failed_commits, 1u);

  MakeRoom();
  EXPECT_TRUE(agent->Record(Serial(written)).ok());
  EXPECT_EQ(agent->store->health().level, HealthLevel::kGood);
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued"), std::to_string(written + 1));
}

TEST_F(StoreTroubleTest, OnAFullDiskTheHeadMayUseTheReserveAndNothingElseMay) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  auto agent = NewAgent(kSmall);
  ASSERT_TRUE(agent->Open().ok());
  FillDisk();
  Status failure;
  const int written = RecordUntilFull(*agent, failure);
  for (uint64_t seq = 1; seq <= 200; ++seq) {
    agent->store->SaveAuditHead({seq, kHash});
    EXPECT_EQ(agent->Record(Serial(written)).code(), StatusCode::kResourceExhausted) << seq;
  }
  EXPECT_EQ(std::filesystem::file_size(Path("state.reserve")), 0u);
  EXPECT_EQ(Sqlite(Path(), "SELECT seq FROM audit_head; SELECT count(*) FROM issued"), fmt::format("200\n{}", written));
  EXPECT_EQ(agent->store->health().level, HealthLevel::kBroken);

  MakeRoom();
  EXPECT_TRUE(agent->Record(Serial(written)).ok());
  EXPECT_EQ(agent->store->health().level, HealthLevel::kGood) << agent->store->health().text;
  EXPECT_EQ(std::filesystem::file_size(Path("state.reserve")), kSmall.reserve_bytes);
}

TEST_F(StoreTroubleTest, OnAFullDiskARevocationAndItsListMayUseTheReserve) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  InAChildThatIsKilled(kSmall, [&](Agent& agent) {
    FillDisk();
    Status failure;
    const int written = RecordUntilFull(agent, failure);
    for (int i = 1; i <= 50; ++i) {
      // Beside a write that fails for want of room.
      agent.store->RecordIssued(Serial(written), [](Status) {});
      if (!agent.Revoke(Revoked(i)).ok() || !agent.UseNumber("0a0b", static_cast<uint64_t>(i)).ok()) return false;
    }
    return agent.Record(Serial(written)).code() == StatusCode::kResourceExhausted;
  });
  MakeRoom();
  auto agent = NewAgent(kSmall);
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_EQ(agent->store->revocations_at_start().revoked.size(), 50u);
  EXPECT_EQ(agent->store->revocations_at_start().crl_numbers.at("0a0b"), 50u);
}

TEST_F(StoreTroubleTest, HealthTurnsGoodByItselfWhenThereIsRoomAgain) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  SqliteOptions options = kSmall;
  options.probe_after = 1ms;
  auto agent = NewAgent(options);
  ASSERT_TRUE(agent->Open().ok());
  FillDisk();
  Status failure;
  RecordUntilFull(*agent, failure);
  ASSERT_EQ(agent->store->health().level, HealthLevel::kBroken);
  MakeRoom();
  EXPECT_TRUE(RunUntil(agent->loop, [&] { return agent->store->health().level == HealthLevel::kGood; }));
}

TEST_F(StoreTroubleTest, WhatWasAnsweredOkOnADiskThatFillsUpOutlivesAKill) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  InAChildThatIsKilled(kSmall, [&](Agent& agent) {
    FillDisk();
    Status failure;
    const int written = RecordUntilFull(agent, failure);
    agent.store->SaveAuditHead({static_cast<uint64_t>(written) + 1, kHash});
    IGNORE_ERROR(agent.Flush(), "other writes may not use the reserve");
    return true;
  });
  MakeRoom();
  auto agent = NewAgent(kSmall);
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->store->audit_head_at_start().has_value());
  EXPECT_EQ(Sqlite(Path(), "SELECT count(*) FROM issued"),
            std::to_string(agent->store->audit_head_at_start()->seq - 1));
}

TEST_F(StoreTroubleTest, ADiskTooFullForTheReserveIsWorthALookButNoReasonToStop) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  auto agent = NewAgent({.reserve_bytes = 4 << 20});
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_EQ(agent->store->health().level, HealthLevel::kDegraded);
  EXPECT_TRUE(agent->Record(Serial(1)).ok());
  EXPECT_EQ(agent->store->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(agent->store->health().text, HasSubstr("state.reserve"));
}

TEST_F(StoreTroubleTest, AFullDiskAtTheFirstStartLeavesNothingBehind) {
  if (!MountSmallDisk()) GTEST_SKIP() << kNeedsMount;
  auto agent = NewAgent(kSmall);
  FillDisk();
  const Status full = agent->Open();
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(Message(full).find("make room"), std::string_view::npos) << full;
  EXPECT_FALSE(std::filesystem::exists(Path()));
  EXPECT_FALSE(std::filesystem::exists(Path("state.db.new")));
  MakeRoom();
  EXPECT_TRUE(agent->Open().ok());
}

TEST_F(StoreTroubleTest, WorksAgainWithoutARestartAfterTheFileCouldNotBeWritten) {
  // A limit on the size of files makes write(2) fail, for one process only.
  InAChildThatIsKilled({.probe_after = 1h}, [&](Agent& agent) {
    signal(SIGXFSZ, SIG_IGN);
    if (!agent.Record(Serial(0)).ok()) return false;
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = std::exchange(limit.rlim_cur, std::filesystem::file_size(Path("state.db-wal")));
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status failed = agent.Record(Serial(1));
    const Status again = agent.Record(Serial(2));  // after a new connection, which may have found room in a new journal
    limit.rlim_cur = before;
    setrlimit(RLIMIT_FSIZE, &limit);
    return failed.code() == StatusCode::kUnavailable && (again.ok() || again.code() == StatusCode::kUnavailable) &&
           agent.Record(Serial(3)).ok() && agent.store->health().level == HealthLevel::kGood;
  });
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  EXPECT_THAT(Sqlite(Path(), "SELECT serial FROM issued WHERE serial IN ('0000', '0003')"), "0000\n0003");
}

TEST_F(StoreTroubleTest, AReadOnlyFileSystemIsRefusedAtStart) {
  MakeDatabase();
  auto agent = NewAgent();
  const std::string before = Bytes();
  if (mount(directory_.c_str(), directory_.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      mount(nullptr, directory_.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    GTEST_SKIP() << kNeedsMount;
  }
  const Status opened = agent->Open();
  EXPECT_EQ(opened.code(), StatusCode::kUnavailable) << opened;
  EXPECT_THAT(Text(opened), HasSubstr(Path()));
  EXPECT_EQ(Bytes(), before);
}

TEST_F(StoreTroubleTest, ARemovedDirectoryIsAnErrorAndNotAWriteIntoNowhere) {
  auto agent = NewAgent({.probe_after = 1h});
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  std::filesystem::rename(directory_, temp_.Path("moved"));
  const Status failed = agent->Record(Serial(2));
  EXPECT_EQ(failed.code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(failed), AllOf(HasSubstr(Path()), HasSubstr("removed or replaced"), HasSubstr("restart the agent")));
  EXPECT_EQ(agent->store->health().level, HealthLevel::kBroken);

  std::filesystem::rename(temp_.Path("moved"), directory_);
  EXPECT_TRUE(agent->Record(Serial(3)).ok());
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0001\n0003");
}

TEST_F(StoreTroubleTest, ADatabaseThatTookThePlaceOfOursIsLeftAlone) {
  auto agent = NewAgent({.probe_after = 1h});
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  ASSERT_EQ(Sqlite(Path(), ".backup '" + Path("restored") + "'"), "");
  const std::string journal = Bytes("state.db-wal");
  std::filesystem::rename(Path("restored"), Path());
  const std::string restored = Bytes();
  EXPECT_EQ(agent->Record(Serial(2)).code(), StatusCode::kUnavailable);
  agent->store.reset();
  EXPECT_EQ(Bytes(), restored);
  EXPECT_EQ(Bytes("state.db-wal"), journal);
}

TEST_F(StoreTroubleTest, AJournalThatSomebodyRemovedCostsNothingThatWasAnsweredOk) {
  auto agent = NewAgent({.probe_after = 1h});
  ASSERT_TRUE(agent->Open().ok());
  ASSERT_TRUE(agent->Record(Serial(1)).ok());
  std::filesystem::remove(Path("state.db-wal"));
  const Status failed = agent->Record(Serial(2));
  EXPECT_EQ(failed.code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(failed), HasSubstr("state.db-wal was removed or replaced"));
  EXPECT_TRUE(agent->Record(Serial(3)).ok());
  agent.reset();
  EXPECT_EQ(Sqlite(Path(), "SELECT serial FROM issued"), "0001\n0003");
}

TEST_F(StoreTroubleTest, ADatabaseThatStaysLockedIsAnErrorNotAHang) {
  auto agent = NewAgent({.probe_after = 1h});
  ASSERT_TRUE(agent->Open().ok());
  {
    const Blocker other(Path());
    const Status failed = agent->Record(Serial(1));
    EXPECT_EQ(failed.code(), StatusCode::kUnavailable);
    EXPECT_THAT(Text(failed), HasSubstr("another program holds it locked"));
    EXPECT_THAT(Text(failed), HasSubstr("end its transaction"));
  }
  EXPECT_TRUE(agent->Record(Serial(2)).ok());
}

TEST_F(StoreTroubleTest, ADiskThatDoesNotAnswerIsToldByHealth) {
  auto agent = NewAgent();
  ASSERT_TRUE(agent->Open().ok());
  std::optional<Status> answer;
  agent->clock.Advance(60s);  // of quiet: nobody waits
  agent->store->RecordIssued(Serial(1), [&](Status status) { answer = std::move(status); });
  EXPECT_EQ(agent->store->health().level, HealthLevel::kGood);
  agent->clock.Advance(11s);  // and the answer has not come to the loop
  EXPECT_EQ(agent->store->health().level, HealthLevel::kBroken);
  EXPECT_THAT(agent->store->health().text, HasSubstr("1 writes wait and the disk has not answered for 11s"));
  EXPECT_TRUE(agent->Await(answer).ok());
  EXPECT_EQ(agent->store->health().level, HealthLevel::kGood);
}

}  // namespace
}  // namespace lanyard::testing
