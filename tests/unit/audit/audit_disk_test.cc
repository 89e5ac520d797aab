// A disk that is full, a process that is killed, files that others move: nothing is lost silently.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/support/no_descriptors.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditDiskTest : public AuditTest {
 protected:
  void ExpectOnRecord(const std::string& text) {
    EXPECT_THAT(Slurp(options.path), HasSubstr(text));
    EXPECT_THAT(Verify().problems, IsEmpty());
  }
};

// Runs `body` in a process of its own and returns how it ended.
template <class Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(AuditDiskTest, AFileThatWasMovedIsContinuedAndThatIsOnRecord) {
  Open();
  WriteMany(3);
  const AuditHead end = HeadOf(Lines().back());
  const std::string moved = dir.Path("audit/audit.jsonl.1");
  std::filesystem::rename(options.path, moved);
  WriteMany(1);
  const auto first = nlohmann::json::parse(Lines().at(0));
  EXPECT_EQ(first["seq"], end.seq + 1);
  EXPECT_EQ(first["prev_hash"], end.hash);
  EXPECT_THAT(first["reason"].get<std::string>(), HasSubstr("it is now " + moved));
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(VerifyFiles({moved, options.path}).problems, IsEmpty());
}

TEST_F(AuditDiskTest, AFileThatWasRemovedIsContinuedAndThatIsOnRecord) {
  Open();
  WriteMany(3);
  const AuditHead end = HeadOf(Lines().back());
  std::filesystem::remove(options.path);
  WriteMany(1);
  EXPECT_THAT(Lines().at(0), AllOf(HasSubstr("removed the file"), HasSubstr(end.hash)));
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(AuditDiskTest, AFileThatWasReplacedStaysAsItIsBesideTheNewOne) {
  Open();
  WriteMany(3);
  const std::string copy = Slurp(options.path);
  std::filesystem::rename(options.path, dir.Path("audit/old"));
  Spill(options.path, copy);  // the same bytes, but not our file
  WriteMany(1);
  ASSERT_THAT(Names(".foreign-"), SizeIs(1));
  EXPECT_EQ(Slurp(Names(".foreign-")[0]), copy);
  ExpectOnRecord("moved the file");
  std::filesystem::rename(options.path, dir.Path("audit/old2"));
  dir.Link("/etc/passwd", "audit/audit.jsonl");
  WriteMany(1);
  EXPECT_FALSE(std::filesystem::is_symlink(options.path));
}

TEST_F(AuditDiskTest, AFileThatOthersWroteToIsSetAside) {
  Open();
  WriteMany(3);
  const AuditHead end = HeadOf(Lines().back());
  std::ofstream(options.path, std::ios::app) << "foreign\n";
  WriteMany(1);
  ASSERT_THAT(Names(".damaged-"), SizeIs(1));
  EXPECT_THAT(Slurp(Names(".damaged-")[0]), HasSubstr("foreign"));
  EXPECT_THAT(Lines().at(0), HasSubstr(end.hash));
  Spill(options.path, "");  // as logrotate's copytruncate does
  WriteMany(1);
  EXPECT_THAT(Names(".damaged-"), SizeIs(2));
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
}

// Without file descriptors it can be renamed, and no new one be made.
TEST_F(AuditDiskTest, WhatOthersDidToAFileIsOnRecordThoughTheNextCouldNotBeBegunAtOnce) {
  const int ended = InChild([&] {
    Open();
    WriteMany(3);
    std::ofstream(options.path, std::ios::app) << "foreign\n";
    {
      const NoDescriptors none;
      EXPECT_FALSE(Write(Record("refused")).ok());
      EXPECT_FALSE(Write(Record("refused")).ok());
    }
    EXPECT_TRUE(Write(Record("again")).ok());
    EXPECT_THAT(Names(".damaged-"), SizeIs(1));
    const nlohmann::json note = nlohmann::json::parse(Lines().at(0));
    EXPECT_EQ(note["resource"], Names(".damaged-").at(0));
    EXPECT_THAT(note["reason"].get<std::string>(), HasSubstr("somebody appended to the file or cut it"));
    Close();
  });
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

TEST_F(AuditDiskTest, ADirectoryThatIsGoneIsAnErrorAndWhatWasLostIsCounted) {
  Open();
  WriteMany(3);
  const std::string away = dir.Path("away");
  std::filesystem::rename(dir.Path("audit"), away);
  const Status refused = Write(Record("refused"));
  EXPECT_EQ(refused.code(), StatusCode::kNotFound);
  EXPECT_THAT(Words(refused), HasSubstr("install -d -m 0700 " + dir.Path("audit")));
  EXPECT_EQ(log->health().level, HealthLevel::kBroken);
  log->Append(Record("unheard"));
  log->Append(Record("unheard"));
  ASSERT_TRUE(RunUntil(loop, [&] { return log->stats().lost == 2; }));
  std::filesystem::rename(away, dir.Path("audit"));  // it comes back: nothing has happened to the file
  ASSERT_TRUE(Write(Record("back")).ok());
  EXPECT_EQ(log->health().text, "");
  ExpectOnRecord("2 records could not be written since 2026-01-01T00:00:00.000000Z and are lost");
  EXPECT_THAT(Slurp(options.path), Not(HasSubstr("refused")));
  std::filesystem::rename(dir.Path("audit"), away);
  EXPECT_FALSE(Write(Record("refused")).ok());
  std::filesystem::create_directory(dir.Path("audit"));  // a new one
  ASSERT_TRUE(Write(Record("anew")).ok());
  EXPECT_THAT(VerifyAudit({.files = {away + "/audit.jsonl", options.path}, .key_file = away + "/audit.pub"})->problems,
              IsEmpty());
}

TEST_F(AuditDiskTest, EveryAcknowledgedRecordIsThereAfterAKill) {
  for (const SyncPolicy sync : {SyncPolicy::kEveryBatch, SyncPolicy::kIssues, SyncPolicy::kEverySecond}) {
    std::filesystem::remove_all(dir.Path("audit"));
    options.sync = sync;
    options.rotate_bytes = 20'000;
    options.keep_files = 0;
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      EventLoop its_loop;
      auto its_log = AuditLog::Open(options, its_loop, clock);
      if (!its_log.ok()) _exit(1);
      uint32_t acknowledged = 0;
      for (uint32_t i = 0;; ++i) {
        (*its_log)->Append(Record("acknowledged " + std::to_string(i) + "!"), [&, i](const Status& status) {
          if (!status.ok() || write(pipes[1], &i, sizeof i) != sizeof i) _exit(1);
          ++acknowledged;
        });
        its_loop.RunOnce(0);
        while (i - acknowledged > 1000) its_loop.RunOnce(10);  // more than the log lets wait would be refused
      }
    }
    close(pipes[1]);
    uint32_t number = 0;
    for (int i = 0; i < 400; ++i) ASSERT_EQ(read(pipes[0], &number, sizeof number), ssize_t{sizeof number});
    kill(child, SIGKILL);
    uint32_t next = 0;
    while (read(pipes[0], &next, sizeof next) == ssize_t{sizeof next}) number = next;
    waitpid(child, nullptr, 0);
    close(pipes[0]);
    std::string all;
    Open();  // a line that was never acknowledged may be torn
    const std::vector<std::string> its_files = AuditFiles(options.path).value();
    for (const std::string& path : its_files) all += Slurp(path);
    for (uint32_t i = 0; i <= number; ++i) {
      ASSERT_NE(all.find("acknowledged " + std::to_string(i) + "!"), std::string::npos) << i << " of " << number;
    }
    EXPECT_THAT(Verify().problems, IsEmpty());
    Close();
  }
}

TEST_F(AuditDiskTest, AWriteThatOnlyPartlyFitsIsTakenBack) {
  const int ended = InChild([&] {
    signal(SIGXFSZ, SIG_IGN);
    Open();
    WriteMany(3);
    const std::string before = Slurp(options.path);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t whole = limit.rlim_cur;
    limit.rlim_cur = before.size() + 100;  // the first bytes of the next line fit
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status refused = Write(Record("refused"));
    EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted) << refused;
    EXPECT_THAT(Words(refused), HasSubstr("free space"));
    EXPECT_EQ(Slurp(options.path), before);
    EXPECT_EQ(log->health().level, HealthLevel::kBroken);
    EXPECT_EQ(log->stats().failed_batches, 1u);
    limit.rlim_cur = whole;
    setrlimit(RLIMIT_FSIZE, &limit);
    EXPECT_TRUE(Write(Record("again")).ok());
    EXPECT_EQ(log->health().text, "");
    EXPECT_THAT(Verify().problems, IsEmpty());
    Close();
  });
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

TEST_F(AuditDiskTest, HealthTurnsGoodOnlyWhenALineCouldBeWrittenThoughNobodyWritesAnything) {
  const int ended = InChild([&] {
    signal(SIGXFSZ, SIG_IGN);
    Open();
    WriteMany(1);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t whole = limit.rlim_cur;
    limit.rlim_cur = Slurp(options.path).size();
    setrlimit(RLIMIT_FSIZE, &limit);
    EXPECT_FALSE(Write(Record("refused")).ok());
    clock.Advance(2s);
    EXPECT_TRUE(RunUntil(loop, [&] { return log->stats().failed_batches == 2; }));
    EXPECT_EQ(log->health().level, HealthLevel::kBroken);
    limit.rlim_cur = whole;
    setrlimit(RLIMIT_FSIZE, &limit);
    clock.Advance(2s);
    EXPECT_TRUE(RunUntil(loop, [&] { return log->health().text.empty(); }));
    EXPECT_THAT(Lines(), SizeIs(3));
    EXPECT_EQ(nlohmann::json::parse(Lines().back())["action"], "resume");
    EXPECT_THAT(Verify().problems, IsEmpty());
    Close();
  });
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

TEST_F(AuditDiskTest, ARotationWithoutFileDescriptorsLeavesNothingThatIsTakenForForeign) {
  const int ended = InChild([&] {
    options.rotate_bytes = 1000;
    Open();
    {
      const NoDescriptors but_one(1);  // the new file can be made, not its directory opened
      int refused = 0;
      for (int i = 0; i < 20; ++i) refused += Write(Record(std::string(100, 'r'))).ok() ? 0 : 1;
      EXPECT_GT(refused, 1);
    }
    EXPECT_TRUE(Write(Record("again")).ok());
    EXPECT_THAT(Names(".foreign-"), IsEmpty());
    EXPECT_THAT(Slurp(options.path), Not(HasSubstr("set-aside")));
    EXPECT_THAT(Verify().problems, IsEmpty());
    Close();
  });
  EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
}

TEST_F(AuditDiskTest, ADiskThatDoesNotAnswerIsToldByHealth) {
  Open();
  WriteMany(1);
  clock.Advance(30s);  // of quiet: nobody waits
  std::optional<Status> answer;
  log->Append(Record("waits"), [&](Status status) { answer = std::move(status); });
  EXPECT_EQ(log->health().text, "");
  clock.Advance(11s);  // and the answer has not come to the loop
  EXPECT_EQ(log->health().level, HealthLevel::kBroken);
  EXPECT_THAT(log->health().text, HasSubstr("1 records wait and the disk of " + options.path));
  ASSERT_TRUE(RunUntil(loop, [&] { return answer.has_value(); }));
  EXPECT_EQ(log->health().text, "");
}

// A file system of 1 MiB that is really full.
class AuditFullDiskTest : public AuditDiskTest {
 protected:
  void SetUp() override {
    mount_ = dir.MakeDir("small", 0700);
    if (mount("tmpfs", mount_.c_str(), "tmpfs", 0, "size=1m,mode=0700") != 0) {
      GTEST_SKIP() << "cannot mount a tmpfs: " << strerror(errno);
    }
    mounted_ = true;
    options.path = mount_ + "/audit.jsonl";
    options.reserve_bytes = 128 << 10;
  }
  void TearDown() override {
    log.reset();
    if (mounted_) umount2(mount_.c_str(), MNT_DETACH);
  }
  void Fill() {
    std::ofstream out(mount_ + "/filler", std::ios::app | std::ios::binary);
    const std::string page(1024, 'x');
    while (out << page << std::flush) {
    }
  }

  std::string mount_;
  bool mounted_ = false;
};

TEST_F(AuditFullDiskTest, RefusesWhatIsNormalAndRecordsWhatMayUseTheReserve) {
  options.key_path = dir.Path("audit.key");
  Open();
  EXPECT_EQ(log->health().text, "");
  Fill();
  Status refused = OkStatus();
  for (int i = 0; i < 100 && refused.ok(); ++i) refused = Write(Record(std::string(1000, 'f')));  // the last page
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted) << refused;
  log->Append(Record(std::string(1000, 'u')));
  ASSERT_TRUE(RunUntil(loop, [&] { return log->stats().lost == 1; }));
  const size_t lines = Lines().size();
  EXPECT_TRUE(Write(Record("denied, and recorded" + std::string(1000, 'd')), AuditSpace::kReserve).ok());
  EXPECT_THAT(Slurp(options.path), HasSubstr("denied, and recorded"));
  EXPECT_THAT(Slurp(options.path), HasSubstr("1 records could not be written"));
  EXPECT_EQ(Lines().size(), lines + 2);
  EXPECT_EQ(log->health().level, HealthLevel::kBroken);
  refused = Write(Record("normal"));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted) << "what is left is not for everybody";
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Write(Record("denied"), AuditSpace::kReserve).ok());
    EXPECT_EQ(log->health().level, HealthLevel::kBroken) << "what is normal is refused still";
    EXPECT_THAT(log->health().text, HasSubstr("the disk is full"));
  }
  std::filesystem::remove(mount_ + "/filler");
  EXPECT_TRUE(Write(Record("room again")).ok());
  EXPECT_EQ(log->health().text, "");
  EXPECT_GE(std::filesystem::file_size(options.path + ".reserve"), options.reserve_bytes);
  const auto verdict =
      VerifyAudit({.files = {options.path}, .key_file = dir.Path("audit.pub"), .checkpoints = std::nullopt});
  EXPECT_THAT(verdict->problems, IsEmpty());
}

}  // namespace
}  // namespace lanyard::testing
