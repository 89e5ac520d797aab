// A state database that is older than the log, as a backup that was put back is: the log goes on from its real end when
// it can be believed, and no number is used twice.
#include "node_agent/audit/audit_key.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditStaleStateTest : public AuditTest {
 protected:
  // Rotates until the file with the third line, which is what the state will remember, is removed.
  void MakeBeyondTheState() {
    options.rotate_bytes = 2000;
    options.keep_files = 2;
    Open();
    WriteMany(2);
    options.stored_head = HeadOf(Lines()[2]);
    while (Names(".jsonl.0").empty()) WriteMany(1);
    const std::string oldest = Names(".jsonl.0")[0];
    while (std::filesystem::exists(oldest)) WriteMany(1);
    WriteMany(1);
    end = HeadOf(Lines().back());
    Close();
  }
  nlohmann::json FirstNew(size_t line) { return nlohmann::json::parse(Lines().at(line)); }
  void ExpectSetAsideAndGoesOnAfter(const AuditHead& head) {
    const std::string before = Slurp(options.path);
    Open();
    EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
    ASSERT_THAT(Names(".damaged-"), SizeIs(1));
    EXPECT_EQ(Slurp(Names(".damaged-")[0]), before);
    EXPECT_EQ(FirstNew(0)["seq"], head.seq + 1);
    EXPECT_EQ(FirstNew(0)["prev_hash"], head.hash);
  }
  // `count` lines from `first` on that fit together, then a checkpoint by `sign`.
  template <class Sign>
  std::string Forge(uint64_t first, int count, Sign sign) {
    AuditHead head{first - 1, std::string(64, 'a')};
    std::string text;
    const auto place = [&] { return AuditPlace{head.seq + 1, clock.WallNow(), "production", head.hash}; };
    for (int i = 0; i < count; ++i) {
      const std::string line = FormatAuditLine(Record("forged"), place());
      text += line + "\n";
      head = HeadOf(line);
    }
    return text + FormatCheckpointLine(sign(head), place()) + "\n";
  }

  AuditHead end;  // of the log
};

TEST_F(AuditStaleStateTest, TheLogGoesOnFromItsEndAndTellsThatTheStateIsOlder) {
  MakeBeyondTheState();
  const uint64_t first = HeadOf(LinesOf(Names(".jsonl.0")[0])[0]).seq;
  const std::string before = Slurp(options.path);
  const size_t lines = Lines().size();
  ASSERT_GT(first, options.stored_head->seq + 1);
  Open();
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr("it remembers seq 3, the log that is there begins with seq " +
                                            std::to_string(first) + "; was a backup of state.db restored?"));
  EXPECT_TRUE(Slurp(options.path).starts_with(before));
  EXPECT_THAT(Names(".damaged-"), IsEmpty());
  EXPECT_EQ(FirstNew(lines)["seq"], end.seq + 1);
  EXPECT_EQ(FirstNew(lines)["action"], "continue");
  EXPECT_THAT(FirstNew(lines)["reason"].get<std::string>(), HasSubstr("lines in between cannot be checked"));
  EXPECT_THAT(Verify().problems, IsEmpty());
  options.stored_head = HeadOf(Lines().back());
  Open();
  EXPECT_EQ(log->health().text, "") << "only until the next start";
}

TEST_F(AuditStaleStateTest, ATornLastLineIsSetAsideAsEver) {
  MakeBeyondTheState();
  const std::string before = Slurp(options.path);
  Spill(options.path, before + "{\"seq\":");
  Open();
  EXPECT_THAT(log->health().text, HasSubstr("the state database is older"));
  EXPECT_TRUE(Slurp(options.path).starts_with(before));
  EXPECT_THAT(Names(".torn-"), SizeIs(1));
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditStaleStateTest, SerialsOfTheLogAreToldForTheStateStore) {
  MakeBeyondTheState();
  const auto known = options.stored_head;
  options.stored_head = end;
  Open();
  ASSERT_TRUE(Write(Issue("05", clock.WallNow() + 1h)).ok());
  options.stored_head = known;
  Open();
  ASSERT_THAT(log->issued_after_stored_head(), SizeIs(1));
  EXPECT_EQ(log->issued_after_stored_head()[0].serial, "05");
}

TEST_F(AuditStaleStateTest, AHeadInARotatedFileThatIsStillThereIsEnough) {
  MakeBeyondTheState();
  options.stored_head = HeadOf(LinesOf(Names(".jsonl.0")[0])[1]);
  const size_t lines = Lines().size();
  Open();
  EXPECT_EQ(log->health().text, "");
  EXPECT_EQ(FirstNew(lines)["seq"], end.seq + 1);
  EXPECT_THAT(FirstNew(lines)["reason"].get<std::string>(),
              HasSubstr("those up to seq " + std::to_string(HeadOf(LinesOf(Names(".jsonl.0")[1]).back()).seq - 1)));
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditStaleStateTest, TheCurrentFileAloneIsBelievedOnlyWithACheckpoint) {
  MakeBeyondTheState();
  for (const std::string& path : Names(".jsonl.0")) std::filesystem::remove(path);
  const std::string unsigned_file = Slurp(options.path);
  ASSERT_THAT(unsigned_file, Not(HasSubstr("\"kind\":\"checkpoint\"")));
  const auto known = options.stored_head;
  ExpectSetAsideAndGoesOnAfter(*known);
  Close();
  std::filesystem::remove(Names(".damaged-")[0]);
  Spill(options.path, unsigned_file);
  options.stored_head = end;
  Open();
  ASSERT_TRUE(Seal().ok());
  options.stored_head = known;
  Open();
  EXPECT_THAT(log->health().text, HasSubstr("the state database is older"));
  EXPECT_TRUE(Slurp(options.path).starts_with(unsigned_file));
}

TEST_F(AuditStaleStateTest, AFileWithACheckpointByAnotherKeyIsSetAside) {
  MakeBeyondTheState();
  const AuditHead rotated_end = HeadOf(LinesOf(Names(".jsonl.0").back()).back());
  const AuditKey other = AuditKey::LoadOrMake(dir.Path("other.key")).value();
  const auto sign = [&](const AuditHead& head) { return other.Sign(head).value(); };
  Spill(options.path, Forge(end.seq + 500, 5, sign));
  ExpectSetAsideAndGoesOnAfter(rotated_end);  // which is signed: its numbers are not used again
  Close();
  for (const std::string& path : Names(".jsonl.")) std::filesystem::remove(path);
  Spill(options.path, Forge(end.seq + 500, 5, sign));
  ExpectSetAsideAndGoesOnAfter(*options.stored_head);
}

TEST_F(AuditStaleStateTest, ACheckpointOfOursInAnotherPlaceProvesNothing) {
  MakeBeyondTheState();
  const AuditCheckpoint stolen = *ParseAuditLine(LinesOf(Names(".jsonl.0")[0]).back())->checkpoint;
  for (const std::string& path : Names(".jsonl.0")) std::filesystem::remove(path);
  Spill(options.path, Forge(end.seq + 500, 5, [&](const AuditHead&) { return stolen; }));
  ExpectSetAsideAndGoesOnAfter(*options.stored_head);
  Close();
  std::filesystem::remove(Names(".damaged-")[0]);
  Spill(options.path, Forge(end.seq + 500, 5, [&](const AuditHead& head) {  // and one that only says so
          return AuditCheckpoint{.covered = head, .key_id = stolen.key_id, .signature = stolen.signature};
        }));
  ExpectSetAsideAndGoesOnAfter(*options.stored_head);
}

TEST_F(AuditStaleStateTest, AHoleBetweenTheFilesIsDamageAndNoNumberIsUsedTwice) {
  MakeBeyondTheState();
  const auto known = options.stored_head;
  options.stored_head = end;
  Open();
  ASSERT_TRUE(Seal().ok());
  end = HeadOf(Lines().back());
  Close();
  options.stored_head = known;
  std::filesystem::remove(Names(".jsonl.0")[1]);
  ExpectSetAsideAndGoesOnAfter(end);
}

TEST_F(AuditStaleStateTest, ALogThatContradictsWhatIsRememberedIsSetAside) {
  MakeBeyondTheState();
  const AuditHead first = HeadOf(LinesOf(Names(".jsonl.0")[0])[0]);
  options.stored_head = AuditHead{first.seq - 1, std::string(64, 'b')};  // the very line before
  ExpectSetAsideAndGoesOnAfter(end);                                     // its numbers are signed for: not used again
}

TEST_F(AuditStaleStateTest, AnOldCopyOfTheCurrentFileBesideNewerRotatedOnesIsSetAside) {
  options.rotate_bytes = 2000;
  Open();
  WriteMany(3);
  const std::string old = Slurp(options.path);
  options.stored_head = HeadOf(Lines().back());
  while (Names(".jsonl.0").size() < 2) WriteMany(1);
  Close();
  const AuditHead rotated_end = HeadOf(LinesOf(Names(".jsonl.0").back()).back());
  Spill(options.path, old);
  ExpectSetAsideAndGoesOnAfter(rotated_end);
  EXPECT_THAT(log->health().text, HasSubstr("other files of the log at seq " + std::to_string(rotated_end.seq)));
}

TEST_F(AuditStaleStateTest, AStateThatIsNewerThanTheLogIsStillALogThatWasCut) {
  MakeBeyondTheState();
  const std::vector<std::string> lines = Lines();
  options.stored_head = end;
  Spill(options.path, Joined({lines.begin(), lines.end() - 1}));
  ExpectSetAsideAndGoesOnAfter(end);
  EXPECT_THAT(log->health().text, HasSubstr("the last known line was seq " + std::to_string(end.seq)));
}

TEST_F(AuditStaleStateTest, WithoutTheCurrentFileTheNumbersGoOnAfterTheRotatedOnes) {
  MakeBeyondTheState();
  const AuditHead rotated_end = HeadOf(LinesOf(Names(".jsonl.0").back()).back());
  std::filesystem::remove(options.path);
  Open();
  EXPECT_THAT(log->health().text, AllOf(HasSubstr("the state database is older"), HasSubstr("was missing at start")));
  EXPECT_EQ(FirstNew(0)["seq"], rotated_end.seq + 1);
  EXPECT_THAT(Verify().problems, IsEmpty());
}

TEST_F(AuditStaleStateTest, WithoutAnyStateALastLineWithAHugeNumberIsNotContinued) {
  MakeBeyondTheState();
  const std::string before = Slurp(options.path);
  std::string line = FormatAuditLine(Record("forged"), {~uint64_t{0}, clock.WallNow(), "", std::string(64, 'a')});
  Spill(options.path, before + line + "\n" + "{}\n");
  options.stored_head.reset();
  ExpectSetAsideAndGoesOnAfter(end);
}

}  // namespace
}  // namespace lanyard::testing
