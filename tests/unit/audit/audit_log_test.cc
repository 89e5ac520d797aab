#include "node_agent/audit/audit_log.h"

#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditLogTest : public AuditTest {
 protected:
  size_t Count(std::string_view part) const {
    const std::vector<std::string> lines = Lines();
    return static_cast<size_t>(std::count_if(
        lines.begin(), lines.end(), [&](const std::string& line) { return line.find(part) != std::string::npos; }));
  }
};

TEST_F(AuditLogTest, TheFirstLineBeginsTheChain) {
  Open();
  const auto line = ParseAuditLine(Lines().at(0));
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->seq, 1u);
  EXPECT_EQ(line->prev_hash, std::string(64, '0'));
  EXPECT_EQ(line->time, clock.WallNow());
}

TEST_F(AuditLogTest, AnswersWhenTheLineIsInTheFileAndTellsTheHead) {
  Open();
  ASSERT_TRUE(Write(Record("hello")).ok());
  EXPECT_THAT(Lines().back(), AllOf(HasSubstr("\"reason\":\"hello\""), HasSubstr("\"environment\":\"production\"")));
  ASSERT_TRUE(RunUntil(loop, [&] { return !heads.empty() && heads.back().seq == 2; }));
  EXPECT_EQ(heads.back(), HeadOf(Lines().back()));
  const AuditStats stats = log->stats();
  EXPECT_EQ(stats.records, 2u);
  EXPECT_EQ(stats.waiting, 0u);
  EXPECT_EQ(stats.bytes, Slurp(options.path).size());
  EXPECT_EQ(stats.last_write, clock.WallNow());
}

TEST_F(AuditLogTest, AnswersComeInTheOrderOfTheRecords) {
  Open();
  std::vector<int> order;
  for (int i = 0; i < 500; ++i) {
    log->Append(Record("r" + std::to_string(i)), [&order, i](const Status& status) {
      EXPECT_TRUE(status.ok());
      order.push_back(i);
    });
  }
  EXPECT_EQ(log->stats().waiting, 500u);
  ASSERT_TRUE(RunUntil(loop, [&] { return order.size() == 500; }));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  const std::vector<std::string> lines = Lines();
  for (size_t i = 0; i < 500; ++i) EXPECT_THAT(lines[i + 1], HasSubstr("\"r" + std::to_string(i) + "\""));
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditLogTest, ALineHasTheTimeAtWhichItsRecordWasMade) {
  Open();
  log->Append(Record("first"));
  clock.Advance(5s);
  log->Append(Record("second"));
  ASSERT_TRUE(Seal().ok());
  EXPECT_THAT(Lines()[1], HasSubstr("T00:00:00.000000Z"));
  EXPECT_THAT(Lines()[2], HasSubstr("T00:00:05.000000Z"));
}

TEST_F(AuditLogTest, SignsEverySoManyLines) {
  options.checkpoint_lines = 10;
  Open();
  WriteMany(25);
  EXPECT_EQ(Count("\"kind\":\"checkpoint\""), 2u);
  EXPECT_EQ(log->stats().checkpoints, 2u);
  EXPECT_EQ(Verify().checkpoints, 2u);
}

TEST_F(AuditLogTest, SignsAfterTheIntervalWhenThereIsAnythingNew) {
  Open();
  WriteMany(1);
  clock.Advance(59s);
  WriteMany(1);
  EXPECT_EQ(Count("\"kind\":\"checkpoint\""), 0u);
  clock.Advance(1s);
  ASSERT_TRUE(RunUntil(loop, [&] { return log->stats().checkpoints == 1; }));
  EXPECT_EQ(log->stats().last_checkpoint, clock.WallNow());
  clock.Advance(10min);
  WriteMany(1);
  EXPECT_EQ(log->stats().checkpoints, 1u) << "nothing was new";
  clock.Advance(1min);
  ASSERT_TRUE(RunUntil(loop, [&] { return log->stats().checkpoints == 2; }));
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditLogTest, SealEndsWithACheckpointOverEverythingBefore) {
  Open();
  for (int i = 0; i < 20; ++i) log->Append(Record("r"));
  ASSERT_TRUE(Seal().ok());
  const AuditVerdict verdict = Verify();
  EXPECT_EQ(verdict.records, 22u);
  EXPECT_EQ(verdict.last_signed_seq, 21u);
  ASSERT_TRUE(Seal().ok());
  EXPECT_EQ(Lines().size(), 22u) << "nothing new to sign";
}

TEST_F(AuditLogTest, TheHeadIsToldBeforeSealAnswers) {
  Open();
  WriteMany(2);
  std::optional<AuditHead> told;
  log->Seal([&](const Status&) { told = heads.empty() ? AuditHead{} : heads.back(); });
  ASSERT_TRUE(RunUntil(loop, [&] { return told.has_value(); }));
  EXPECT_EQ(*told, HeadOf(Lines().back())) << "a clean stop leaves no line that the state does not remember";
}

TEST_F(AuditLogTest, RotatesIntoFilesThatVerifyAsOneChain) {
  options.rotate_bytes = 3000;
  options.checkpoint_lines = 1000;
  Open();
  WriteMany(60);
  const std::vector<std::string> rotated = Names(".jsonl.0");
  ASSERT_GE(rotated.size(), 3u);
  for (const std::string& path : rotated) {
    const AuditLine last = ParseAuditLine(LinesOf(path).back()).value();
    EXPECT_EQ(last.kind, "checkpoint");
    EXPECT_EQ(path, RotatedName(options.path, last.seq));
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_THAT(Lines().front(), AllOf(HasSubstr("\"kind\":\"audit\""), HasSubstr(rotated.back())));
  const AuditVerdict verdict = Verify();
  EXPECT_THAT(verdict.problems, IsEmpty());
  EXPECT_EQ(verdict.first_seq, 1u);
  EXPECT_EQ(verdict.files, rotated.size() + 1);
}

TEST_F(AuditLogTest, RemovesTheOldestFilesAndPutsThatOnRecordFirst) {
  options.rotate_bytes = 2000;
  options.keep_files = 2;
  Open();
  WriteMany(1);
  while (Names(".jsonl.0").size() < 2) WriteMany(1);
  const std::string oldest = Names(".jsonl.0")[0];
  const AuditHead end = HeadOf(LinesOf(oldest).back());
  while (std::filesystem::exists(oldest)) WriteMany(1);
  EXPECT_THAT(Names(".jsonl.0"), SizeIs(2));
  const nlohmann::json removal = nlohmann::json::parse(Lines().at(1));
  EXPECT_EQ(removal["action"], "remove");
  EXPECT_EQ(removal["resource"], oldest);
  EXPECT_THAT(removal["reason"].get<std::string>(),
              HasSubstr("seq 1 to " + std::to_string(end.seq) + ", last hash " + end.hash));
  const AuditVerdict verdict = Verify();
  EXPECT_THAT(verdict.problems, IsEmpty());
  EXPECT_EQ(verdict.first_seq, end.seq + 1);
}

TEST_F(AuditLogTest, ARotatedNameThatIsTakenIsNotReplaced) {
  options.rotate_bytes = 1200;
  Open();
  const std::vector<std::string> before = Lines();
  for (uint64_t seq = 2; seq < 40; ++seq) dir.Write("audit/" + RotatedName("audit.jsonl", seq), "precious", 0600);
  WriteMany(20);
  EXPECT_EQ(Lines().front(), before.front());
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr("cannot be rotated"));
  for (const std::string& path : Names(".jsonl.0")) EXPECT_EQ(Slurp(path), "precious");
}

TEST_F(AuditLogTest, WhileItCannotBeRenamedAFileIsNotSignedForEachBatch) {
  options.rotate_bytes = 8000;
  Open();
  for (uint64_t seq = 2; seq < 100; ++seq) dir.Write("audit/" + RotatedName("audit.jsonl", seq), "precious", 0600);
  while (Slurp(options.path).size() < options.rotate_bytes) WriteMany(1);
  ASSERT_EQ(log->stats().checkpoints, 0u);
  WriteMany(2);
  EXPECT_EQ(log->stats().checkpoints, 1u);
  EXPECT_THAT(log->health().text, HasSubstr("cannot be rotated"));
  WriteMany(6);  // more than an eighth of what a file may have
  EXPECT_EQ(log->stats().checkpoints, 2u) << "it is tried again";
}

TEST_F(AuditLogTest, FollowTellsOldLinesThenNewOnesAcrossRotation) {
  options.rotate_bytes = 5000;
  Open();
  WriteMany(8);
  std::vector<std::string> got;
  size_t old = 0;
  const std::vector<std::string> before = Lines();
  auto tail = log->Follow(
      3, [&](std::string_view line) { got.emplace_back(line); },
      [&](const Status& status) {
        EXPECT_TRUE(status.ok()) << status;
        old = got.size();
      });
  for (int i = 0; i < 100; ++i) log->Append(Record("new" + std::to_string(i)));
  WriteMany(100, "more");
  ASSERT_TRUE(RunUntil(loop, [&] { return !got.empty() && got.back() == Lines().back(); }));
  EXPECT_EQ(old, 3u);
  EXPECT_EQ(got.front(), before[before.size() - 3]);
  for (size_t i = 1; i < got.size(); ++i) EXPECT_EQ(HeadOf(got[i]).seq, HeadOf(got[i - 1]).seq + 1);
  EXPECT_GE(Names(".jsonl.0").size(), 2u);
  const size_t count = got.size();
  tail.reset();
  WriteMany(3);
  RunUntilIdle(loop);
  EXPECT_EQ(got.size(), count);
}

TEST_F(AuditLogTest, ATailMayBeEndedByItsOwnListenerAndOutliveTheLog) {
  Open();
  WriteMany(5);
  int told = 0;
  std::unique_ptr<AuditLog::Tail> tail;
  tail = log->Follow(
      5,
      [&](std::string_view) {
        ++told;
        tail.reset();
      },
      nullptr);
  ASSERT_TRUE(RunUntil(loop, [&] { return told > 0; }));
  RunUntilIdle(loop);
  EXPECT_EQ(told, 1);
  tail = log->Follow(
      100'000, [&](std::string_view) { ++told; }, nullptr);
  Close();
  RunUntilIdle(loop);
  tail.reset();
}

TEST_F(AuditLogTest, OptionsMayChangeWhileItRuns) {
  Open();
  WriteMany(5);
  options.checkpoint_lines = 1;
  options.environment = "staging";
  log->SetOptions(options);
  WriteMany(2);
  EXPECT_EQ(log->stats().checkpoints, 2u);
  EXPECT_THAT(Lines().back(), HasSubstr("staging"));
}

TEST_F(AuditLogTest, ADirectoryThatComesBackIsNoticedThoughNobodyWritesAnything) {
  Open();
  WriteMany(3);
  std::filesystem::rename(dir.Path("audit"), dir.Path("away"));
  EXPECT_FALSE(Write(Record("lost")).ok());
  ASSERT_EQ(log->health().level, HealthLevel::kBroken);
  std::filesystem::rename(dir.Path("away"), dir.Path("audit"));
  clock.Advance(2s);
  EXPECT_TRUE(RunUntil(loop, [this] { return log->health().level != HealthLevel::kBroken; }));
}

TEST_F(AuditLogTest, EverySecondTellsTheHeadOnlyOnceItIsOnTheDisk) {
  options.sync = SyncPolicy::kEverySecond;
  Open();
  failing_syncs = 1'000'000;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Write(Record("r")).ok());
  const AuditHead last = HeadOf(Lines().back());
  ASSERT_TRUE(RunUntil(loop, [&] { return log->health().text.find("may not survive") != std::string::npos; }));
  EXPECT_TRUE(heads.empty() || heads.back().seq < last.seq) << "no sync has succeeded";
  failing_syncs = 0;
  EXPECT_TRUE(RunUntil(loop, [&] { return !heads.empty() && heads.back() == last; }));
}

TEST_F(AuditLogTest, TheDestructorWritesWhatIsQueuedAndDropsTheAnswers) {
  Open();
  bool answered = false;
  for (int i = 0; i < 5000; ++i) log->Append(Record("last"), [&](const Status&) { answered = true; });
  Close();
  RunUntilIdle(loop);
  EXPECT_FALSE(answered);
  EXPECT_GE(Lines().size(), 5001u);
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditLogTest, ACallbackMayDestroyTheLog) {
  Open();
  bool gone = false;
  for (int i = 0; i < 3; ++i) {
    log->Append(Record("r"), [&](const Status&) {
      log.reset();
      gone = true;
    });
  }
  ASSERT_TRUE(RunUntil(loop, [&] { return gone; }));
  RunUntilIdle(loop);
}

TEST_F(AuditLogTest, ASecondAgentOnTheSamePathIsToldSoAndChangesNothing) {
  options.rotate_bytes = 1500;
  Open();
  while (Names(".jsonl.0").empty()) WriteMany(1);  // also after a rotation
  const std::string before = Slurp(options.path);
  AuditOptions others = options;
  others.key_path = dir.Path("other.key");
  const auto second = AuditLog::Open(others, loop, clock);
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition) << second.status();
  EXPECT_THAT(Words(second.status()), AllOf(HasSubstr(options.path), HasSubstr("audit.path of its own")));
  EXPECT_EQ(Slurp(options.path), before);
  EXPECT_FALSE(std::filesystem::exists(others.key_path));
  struct stat info {};
  ASSERT_EQ(stat((options.path + ".lock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(Verify().problems, IsEmpty()) << "checking needs no lock";
  WriteMany(1);
  Close();
  Open();  // the file of the lock is there still, the lock is not
}

TEST_F(AuditLogTest, RefusesAtTheDoorWhatIsMoreThanMayWait) {
  Open();
  int written = 0, refused = 0;
  for (int i = 0; i < 16'384 + 3; ++i) {  // the loop does not run: nothing is answered
    log->Append(Record("r"), [&](const Status& status) {
      status.ok() ? ++written : ++refused;
      EXPECT_TRUE(status.ok() || status.code() == StatusCode::kResourceExhausted) << status;
    });
  }
  ASSERT_TRUE(RunUntil(loop, [&] { return written + refused == 16'384 + 3; }));
  EXPECT_EQ(refused, 3);
  EXPECT_TRUE(Write(Record("again")).ok());
}

TEST_F(AuditLogTest, HugeAndHostileRecordsStayOneLineEach) {
  Open();
  AuditRecord record = Record(std::string(1'000'000, '\n'));
  record.caller = AuditCaller{.pid = 1, .uid = 2, .selectors = std::vector<std::string>(5000, std::string(4096, '"'))};
  record.spiffe_id = "spiffe://x/\"}\n{\"seq\":1";
  ASSERT_TRUE(Write(std::move(record)).ok());
  EXPECT_THAT(Lines(), SizeIs(2));
  EXPECT_LE(Lines()[1].size(), kMaxAuditLineBytes);
  EXPECT_THAT(Verify().problems, IsEmpty());
}

}  // namespace
}  // namespace lanyard::testing
