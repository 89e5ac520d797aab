// How a log goes on after a crash, and after somebody did something to its files while no agent ran.
#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditRecoveryTest : public AuditTest {
 protected:
  // A log of `records` with nothing sealed; `stored` is the head that a state store would have.
  void Make(int records) {
    Open();
    WriteMany(records);
    stored = HeadOf(Lines().back());
    Close();
  }
  // The first record that the reopened log has written.
  nlohmann::json FirstNew(size_t line) { return nlohmann::json::parse(Lines().at(line)); }

  AuditHead stored;
};

TEST_F(AuditRecoveryTest, GoesOnSilentlyWhenTheStateRemembersTheLastLine) {
  Make(5);
  const size_t before = Lines().size();
  options.stored_head = stored;
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kGood) << log->health().text;
  EXPECT_THAT(Lines(), SizeIs(before));
  ASSERT_TRUE(Write(Record("more")).ok());
  ASSERT_TRUE(Seal().ok());  // a clean stop: what the listener heard last is the last line
  ASSERT_TRUE(RunUntil(loop, [&] { return heads.back() == HeadOf(Lines().back()); }));
  const size_t sealed = Lines().size();
  options.stored_head = heads.back();
  Open();
  EXPECT_THAT(Lines(), SizeIs(sealed));
}

TEST_F(AuditRecoveryTest, LinesThatTheStateDoesNotRememberArePutOnRecordAsTakenByTheirChainAlone) {
  Make(5);
  options.stored_head = HeadOf(Lines()[2]);
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kGood) << log->health().text;
  const nlohmann::json note = FirstNew(6);
  EXPECT_EQ(note["kind"], "audit");
  EXPECT_EQ(note["action"], "continue");
  EXPECT_EQ(note["resource"], options.path);
  EXPECT_EQ(note["reason"],
            "the state remembers seq 3; 3 further lines up to seq 6 were found and are taken by their chain alone");
  ASSERT_TRUE(Seal().ok());  // seq 8 covers 7
  WriteMany(2);
  Open();
  EXPECT_EQ(FirstNew(10)["reason"],
            "the state remembers seq 3; 7 further lines up to seq 10 were found: those up to seq 7 are signed, the "
            "others are taken by their chain alone");
  WriteMany(1);
  EXPECT_THAT(Verify().problems, IsEmpty());
}

// As a kill leaves it between moving the file aside and the first line of the next.
TEST_F(AuditRecoveryTest, AFileThatWasSetAsideAndIsOnNoRecordIsNamedByTheNextStart) {
  for (const bool empty_file : {false, true}) {
    std::filesystem::remove_all(dir.Path("audit"));
    options.stored_head.reset();
    Make(6);
    const std::string aside = AsideName(options.path, "damaged", FormatAuditTime(clock.WallNow()));
    options.stored_head = HeadOf(Lines()[2]);
    std::filesystem::rename(options.path, aside);
    if (empty_file) dir.Write("audit/audit.jsonl", "", 0600);
    Open();
    EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
    EXPECT_THAT(log->health().text, HasSubstr("lanyard audit verify " + aside));
    EXPECT_EQ(FirstNew(0)["resource"], aside);
    EXPECT_EQ(FirstNew(0)["seq"], stored.seq + 1) << "the numbers in it are not used again";
    EXPECT_EQ(FirstNew(0)["prev_hash"], stored.hash);
    Close();
  }
}

TEST_F(AuditRecoveryTest, AFileThatWasSetAsideBeforeTheNewestRotatedOneIsNotNamedAgain) {
  Make(3);
  dir.Write("audit/audit.jsonl.damaged-20260101T000000Z", "x", 0600);
  dir.Write("audit/audit.jsonl.damaged-later", "x", 0600);
  clock.Advance(1min);
  options.stored_head = stored;
  options.rotate_bytes = 1000;
  Open();
  while (Names(".jsonl.0").empty()) WriteMany(1);
  Close();
  std::filesystem::remove(options.path);
  options.stored_head = HeadOf(LinesOf(Names(".jsonl.0")[0]).back());
  Open();
  EXPECT_EQ(log->health().text, "");
  Close();
  std::filesystem::remove(options.path);
  dir.Write("audit/audit.jsonl.foreign-20260101T000100Z-9", "x", 0600);
  dir.Link("/etc/passwd", "audit/audit.jsonl.foreign-20260101T000100Z-10");
  Open();
  EXPECT_THAT(log->health().text, HasSubstr("audit.jsonl.foreign-20260101T000100Z-10 was set aside"));
}

TEST_F(AuditRecoveryTest, PutsOnRecordThatNothingRemembersHowFarTheLogHadCome) {
  Make(5);
  const size_t before = Lines().size();
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kGood) << log->health().text;
  EXPECT_THAT(FirstNew(before)["reason"].get<std::string>(), HasSubstr("the state database was missing or new"));
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditRecoveryTest, SetsATornLastLineAsideAndSaysSo) {
  for (const std::string& torn :
       {std::string("{\"seq\":7,\"ti"), std::string(5000, '\0'), std::string("garbage\n"), std::string(300'000, 'x')}) {
    std::filesystem::remove_all(dir.Path("audit"));
    options.stored_head.reset();
    Make(4);
    const std::string whole = Slurp(options.path);
    Spill(options.path, whole + torn);
    options.stored_head = stored;
    Open();
    EXPECT_TRUE(Slurp(options.path).starts_with(whole));
    ASSERT_THAT(Names(".torn-20260101T000000Z"), SizeIs(1));
    const std::string aside = Names(".torn-")[0];
    EXPECT_EQ(Slurp(aside), torn);
    struct stat info {};
    ASSERT_EQ(stat(aside.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    EXPECT_THAT(FirstNew(5)["reason"].get<std::string>(), HasSubstr(aside));
    EXPECT_EQ(log->health().level, HealthLevel::kGood) << "nothing that was acknowledged is lost";
    WriteMany(1);
    EXPECT_THAT(Verify().problems, IsEmpty());
    Close();
  }
}

TEST_F(AuditRecoveryTest, LinesCutOffBehindTheStoredHeadAreDamageAndNotATornLine) {
  Make(6);
  std::vector<std::string> lines = Lines();
  lines.pop_back();
  Spill(options.path, Joined(lines) + "{\"seq\"");
  options.stored_head = stored;
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr("lanyard audit verify " + Names(".damaged-")[0]));
  ASSERT_THAT(Lines(), SizeIs(1));
  EXPECT_EQ(FirstNew(0)["seq"], stored.seq + 1);
  EXPECT_EQ(FirstNew(0)["prev_hash"], stored.hash);
  EXPECT_EQ(FirstNew(0)["kind"], "audit");
  EXPECT_THAT(FirstNew(0)["reason"].get<std::string>(), HasSubstr(Names(".damaged-")[0]));
}

TEST_F(AuditRecoveryTest, ALogRewrittenWithoutTheStoreIsFoundAtStart) {
  Make(6);
  const std::vector<std::string> lines = Lines();
  std::filesystem::remove_all(options.path);
  clock.Advance(1h);
  Make(6);  // the same seq, another hash
  const AuditHead rewritten = stored;
  options.stored_head = HeadOf(lines.back());
  ASSERT_NE(rewritten, *options.stored_head);
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr("is not the line that was there before"));
  EXPECT_EQ(FirstNew(0)["prev_hash"], options.stored_head->hash);
}

TEST_F(AuditRecoveryTest, ADamagedMiddleIsKeptAndTheChainGoesOnAfterWhatIsProven) {
  Make(8);
  std::vector<std::string> lines = Lines();
  lines[3][lines[3].find("reason\":\"") + 9] = 'X';
  Spill(options.path, Joined(lines));
  for (const bool known : {true, false}) {
    options.stored_head = known ? std::optional(stored) : std::nullopt;
    Open();
    EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
    EXPECT_THAT(log->health().text, HasSubstr("line 5: its prev_hash"));
    EXPECT_EQ(FirstNew(0)["seq"], stored.seq + 1) << "no number is used twice";
    EXPECT_EQ(FirstNew(0)["prev_hash"], stored.hash);
    const std::string damaged = Names(".damaged-")[0];
    EXPECT_THAT(VerifyFiles({damaged, options.path}).problems, ElementsAre(HasSubstr(damaged + ":5: ")));
    Close();
    std::filesystem::rename(damaged, options.path);
  }
}

TEST_F(AuditRecoveryTest, AMissingFileIsContinuedFromTheStoredHeadAndTold) {
  Make(3);
  std::filesystem::remove(options.path);
  options.stored_head = stored;
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr("was missing at start"));
  EXPECT_EQ(FirstNew(0)["seq"], stored.seq + 1);
  EXPECT_EQ(FirstNew(0)["prev_hash"], stored.hash);
  WriteMany(1);
  options.stored_head = HeadOf(Lines().back());
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kGood) << "only until the next start";
}

TEST_F(AuditRecoveryTest, AnEmptiedFileIsDamage) {
  Make(3);
  Spill(options.path, "");
  options.stored_head = stored;
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_EQ(FirstNew(0)["prev_hash"], stored.hash);
}

// Every state of the directory in which a crash can leave a rotation.
TEST_F(AuditRecoveryTest, ACrashDuringRotationLeavesALogThatGoesOn) {
  options.rotate_bytes = 1500;
  Open();
  while (Names(".jsonl.0").empty()) WriteMany(1);
  Close();
  const std::string rotated = Names(".jsonl.0")[0];
  const std::string old = Slurp(rotated), current = Slurp(options.path);
  const AuditHead end = HeadOf(LinesOf(rotated).back());
  const AuditHead before = HeadOf(LinesOf(rotated)[1]);
  const auto arrange = [&](const std::optional<std::string>& in_rotated, const std::optional<std::string>& in_current) {
    std::filesystem::remove(rotated);
    std::filesystem::remove(options.path);
    if (in_rotated) Spill(rotated, *in_rotated);
    if (in_current) Spill(options.path, *in_current);
  };
  const std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>> states = {
      {std::nullopt, old},                               // before the rename
      {old, std::nullopt},                               // before the new file
      {old, ""},                                         // before its first line
      {old, current.substr(0, 20)},                      // in the middle of it
      {old, current.substr(0, current.find('\n') + 1)},  // after it
  };
  for (size_t i = 0; i < states.size(); ++i) {
    for (const std::optional<AuditHead>& known :
         {std::optional<AuditHead>(), std::optional(end), std::optional(before)}) {
      arrange(states[i].first, states[i].second);
      options.stored_head = known;
      Open();
      EXPECT_EQ(log->health().text, "") << "state " << i;
      WriteMany(1);
      Close();
      const AuditVerdict verdict = Verify();
      EXPECT_THAT(verdict.problems, IsEmpty()) << "state " << i;
      EXPECT_EQ(verdict.first_seq, 1u);
      EXPECT_THAT(Names(".damaged-"), IsEmpty());
    }
  }
}

TEST_F(AuditRecoveryTest, WhatWasIssuedAfterTheStoredHeadIsToldForTheStateStore) {
  options.rotate_bytes = 1500;
  Open();
  const WallTime later = clock.WallNow() + 1h;
  ASSERT_TRUE(Write(Issue("01", later)).ok());
  const AuditHead first = heads.empty() ? HeadOf(Lines().back()) : heads.back();
  ASSERT_TRUE(Write(Issue("02", later)).ok());
  ASSERT_TRUE(Write(Issue("03", clock.WallNow() + 1min)).ok());
  while (Names(".jsonl.0").size() < 2) WriteMany(1);
  ASSERT_TRUE(Write(Issue("04", later)).ok());
  AuditRecord jwt = Issue("05", later), wit = Issue("06", later);
  jwt.kind = AuditKind::kIssueJwt;
  wit.kind = AuditKind::kIssueWit;
  ASSERT_TRUE(Write(jwt).ok());
  ASSERT_TRUE(Write(wit).ok());
  clock.Advance(2min);
  const auto serials = [&](std::optional<AuditHead> head) {
    options.stored_head = std::move(head);
    Open();
    std::vector<std::string> found;
    for (const IssuedSerial& issued : log->issued_after_stored_head()) found.push_back(issued.serial);
    return found;
  };
  EXPECT_THAT(serials(first), ElementsAre("02", "04", "05", "06"));
  EXPECT_EQ(log->issued_after_stored_head()[0], (IssuedSerial{"ab12", "02", "spiffe://example.org/agent/a", later}));
  EXPECT_THAT(serials(std::nullopt), ElementsAre("01", "02", "04", "05", "06"));
  EXPECT_THAT(serials(HeadOf(Lines().back())), IsEmpty());
}

TEST_F(AuditRecoveryTest, GoesOnAfterTheLastLineOfALargeLog) {
  Open();
  Close();
  AuditHead head = HeadOf(Lines().back());
  {
    std::ofstream out(options.path, std::ios::app | std::ios::binary);
    AuditRecord record = Issue("0102030405060708090a0b0c0d0e0f10", clock.WallNow() + 1h);
    record.kind = AuditKind::kFetch;
    record.caller = AuditCaller{.pid = 1, .uid = 2, .selectors = {"unix:uid:2", "unix:path:/usr/bin/agent"}};
    for (uint64_t bytes = 0; bytes < 64u << 20;) {
      const std::string line = FormatAuditLine(
          record, {.seq = head.seq + 1, .time = clock.WallNow(), .environment = "production", .prev_hash = head.hash});
      out << line << '\n';
      bytes += line.size() + 1;
      head = {head.seq + 1, HashAuditLine(line).value()};
    }
  }
  options.stored_head = head;
  options.rotate_bytes = 1u << 30;
  const auto begin = std::chrono::steady_clock::now();
  Open();
  const auto took = std::chrono::steady_clock::now() - begin;
  RecordProperty("open_ms", std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  std::printf("opening 64 MiB, %llu lines: %lld ms\n", static_cast<unsigned long long>(head.seq),
              static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  EXPECT_EQ(log->health().text, "");
  EXPECT_TRUE(RunUntil(loop, [&] { return !heads.empty() && heads.back() == head; }));
}

}  // namespace
}  // namespace lanyard::testing
