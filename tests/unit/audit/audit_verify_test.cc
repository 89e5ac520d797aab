#include "node_agent/audit/audit_verify.h"

#include "node_agent/audit/audit_key.h"
#include "tests/support/openssl_cli.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

// Two rotated files and a current one, sealed: what each test then does something bad to.
class AuditVerifyTest : public AuditTest {
 protected:
  AuditVerifyTest() {
    options.rotate_bytes = 2000;
    options.checkpoint_lines = 4;
    options.checkpoints_to = dir.Path("copies");
    Open();
    while (Names(".jsonl.0").size() < 2) WriteMany(1);
    WriteMany(3);
    EXPECT_TRUE(Seal().ok());
    Close();
    files = AuditFiles(options.path).value();
    EXPECT_EQ(files.size(), 3u);
  }

  // The problems that are found when the lines of one file are replaced.
  std::vector<std::string> ProblemsWith(size_t file, const std::vector<std::string>& lines) {
    Spill(files[file], Joined(lines));
    return Verify().problems;
  }

  // `count` lines that continue `after`, as anybody can make them who has no key.
  std::vector<std::string> Unsigned(int count, AuditHead after = {0, NoAuditHash()}) {
    std::vector<std::string> lines;
    for (int i = 0; i < count; ++i) {
      clock.Advance(1s);
      lines.push_back(FormatAuditLine(Record("forged"), {after.seq + 1, clock.WallNow(), "production", after.hash}));
      after = HeadOf(lines.back());
    }
    return lines;
  }

  // The log made anew under the names of its files, without any of its checkpoints.
  void DropTheCheckpoints() {
    AuditHead head{0, NoAuditHash()};
    for (const std::string& path : files) {
      int records = 0;
      for (const std::string& line : LinesOf(path)) records += ParseAuditLine(line)->checkpoint ? 0 : 1;
      const std::vector<std::string> lines = Unsigned(records, head);
      head = HeadOf(lines.back());
      Spill(path, Joined(lines));
    }
  }

  // A log of one file with these lines.
  AuditVerdict VerdictOn(const std::vector<std::string>& lines) {
    files = {dir.Path("audit/alone.jsonl")};
    Spill(files[0], Joined(lines));
    return VerifyFiles(files);
  }

  std::vector<std::string> files;
};

TEST_F(AuditVerifyTest, FindsNothingWrongWithWhatWasWritten) {
  const AuditVerdict verdict = Verify(options.checkpoints_to);
  EXPECT_THAT(verdict.problems, IsEmpty());
  EXPECT_THAT(verdict.notes, IsEmpty());
  EXPECT_EQ(verdict.first_seq, 1u);
  EXPECT_EQ(verdict.records, verdict.last_seq);
  EXPECT_EQ(verdict.last_signed_seq, verdict.last_seq - 1);
  EXPECT_GT(verdict.checkpoints, 3u);
  EXPECT_EQ(verdict.last_hash, HeadOf(LinesOf(files[2]).back()).hash);
}

TEST_F(AuditVerifyTest, FindsAChangedByteWhereverItIs) {
  for (const std::string& path : files) {
    const std::string whole = Slurp(path);
    const std::string last = path == files[2] ? LinesOf(path).back() : "";
    for (size_t at = 0; at + 1 + last.size() < whole.size(); at += 37) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      Spill(path, changed);
      EXPECT_THAT(Verify().problems, Not(IsEmpty())) << path << " at byte " << at;
    }
    Spill(path, whole);
  }
}

TEST_F(AuditVerifyTest, NamesTheLineAfterAChangedOne) {
  std::vector<std::string> lines = LinesOf(files[1]);
  const size_t at = lines[2].find("reason\":\"") + 9;
  lines[2][at] = 'X';
  EXPECT_THAT(ProblemsWith(1, lines),
              ElementsAre(AllOf(HasSubstr(files[1] + ":4: "), HasSubstr("not the hash of the line before"))));
}

TEST_F(AuditVerifyTest, NamesRemovedInsertedAndReorderedLines) {
  const std::vector<std::string> lines = LinesOf(files[1]);
  std::vector<std::string> removed = lines;
  removed.erase(removed.begin() + 2);
  EXPECT_THAT(ProblemsWith(1, removed),
              ElementsAre(AllOf(HasSubstr(files[1] + ":3: "), HasSubstr("lines were removed"))));
  std::vector<std::string> inserted = lines;
  inserted.insert(inserted.begin() + 2, lines[2]);
  EXPECT_THAT(ProblemsWith(1, inserted), ElementsAre(AllOf(HasSubstr(files[1] + ":4: "), HasSubstr("put in"))));
  std::vector<std::string> swapped = lines;
  std::swap(swapped[2], swapped[3]);
  EXPECT_THAT(ProblemsWith(1, swapped), Not(IsEmpty()));
}

TEST_F(AuditVerifyTest, FindsLinesCutOffBetweenFilesAndAtTheEnd) {
  std::vector<std::string> lines = LinesOf(files[0]);
  lines.pop_back();
  EXPECT_THAT(ProblemsWith(0, lines), ElementsAre(AllOf(HasSubstr(files[1] + ":1: "), HasSubstr("is missing"))));
  Spill(files[0], Slurp(files[0]));  // stays cut
  // At the end only a copy of the checkpoints tells.
  lines = LinesOf(files[2]);
  lines.pop_back();
  Spill(files[2], Joined(lines));
  EXPECT_THAT(VerifyFiles({files[1], files[2]}).problems, IsEmpty());
  EXPECT_THAT(VerifyFiles({files[1], files[2]}, options.checkpoints_to).problems,
              ElementsAre(AllOf(HasSubstr(options.checkpoints_to), HasSubstr("cut or rewritten"))));
}

TEST_F(AuditVerifyTest, FindsFilesThatAreMissingOrInTheWrongOrder) {
  EXPECT_THAT(VerifyFiles({files[0], files[2]}).problems,
              ElementsAre(AllOf(HasSubstr(files[2] + ":1: "), HasSubstr("a file between is missing"))));
  EXPECT_THAT(VerifyFiles({files[1], files[0], files[2]}).problems, Not(IsEmpty()));
  const AuditVerdict tail = VerifyFiles({files[2]}, options.checkpoints_to);
  EXPECT_THAT(tail.problems, IsEmpty());
  EXPECT_THAT(tail.notes,
              ElementsAre(HasSubstr("older than the files given"), HasSubstr("earlier files are not here")));
}

TEST_F(AuditVerifyTest, FindsALogThatSomebodyElseHasMadeAnew) {
  // The chain is made anew with another reason and signed with another key, which replaces the public one, too.
  TempDir other;
  AuditOptions theirs = options;
  theirs.path = other.Path("audit/audit.jsonl");
  theirs.key_path = other.Path("audit/audit.key");
  theirs.checkpoints_to = "";
  log = AuditLog::Open(theirs, loop, clock).value();
  WriteMany(10, "forged");
  ASSERT_TRUE(Seal().ok());
  Close();
  EXPECT_THAT(VerifyFiles({theirs.path}).problems, Not(IsEmpty())) << "checked with the real key";
  const auto with_their_key =
      VerifyAudit({.files = {theirs.path}, .key_file = other.Path("audit/audit.pub"), .checkpoints = std::nullopt});
  EXPECT_THAT(with_their_key->problems, IsEmpty()) << "nothing inside tells";
  const auto with_copies = VerifyAudit(
      {.files = {theirs.path}, .key_file = other.Path("audit/audit.pub"), .checkpoints = options.checkpoints_to});
  EXPECT_THAT(with_copies->problems, Not(IsEmpty())) << "the copy kept elsewhere does";
}

TEST_F(AuditVerifyTest, FindsACheckpointWhoseSignatureIsOfAnotherLine) {
  // A chain made anew by somebody without the key can only reuse signatures.
  std::vector<std::string> lines = LinesOf(files[0]);
  size_t at = 0;
  while (lines[at].find("\"checkpoint\":{") == std::string::npos) ++at;
  const AuditLine old = ParseAuditLine(lines[at]).value();
  AuditRecord forged = Record("forged");
  const AuditLine before = ParseAuditLine(lines[at - 1]).value();
  lines[at - 1] = FormatAuditLine(
      forged, {.seq = before.seq, .time = before.time, .environment = "production", .prev_hash = before.prev_hash});
  AuditCheckpoint checkpoint = *old.checkpoint;
  checkpoint.covered.hash = HashAuditLine(lines[at - 1]).value();
  lines[at] = FormatCheckpointLine(
      checkpoint,
      {.seq = old.seq, .time = old.time, .environment = "production", .prev_hash = checkpoint.covered.hash});
  lines.resize(at + 1);
  Spill(files[0], Joined(lines));
  EXPECT_THAT(VerifyFiles({files[0]}).problems, ElementsAre(HasSubstr("checkpoint: the signature is not valid")));
}

TEST_F(AuditVerifyTest, FindsMoreUnsignedLinesThanAnAgentCanLeaveBehind) {
  const std::vector<std::string> lines = Unsigned(2001);
  EXPECT_THAT(VerdictOn(lines).problems,
              ElementsAre(AllOf(HasSubstr("/alone.jsonl:1: "), HasSubstr("2001 lines without a valid checkpoint"),
                                HasSubstr("the agent signs after every 1000"))));
  // A true beginning does not help.
  std::vector<std::string> mixed = LinesOf(AuditFiles(options.path)->front());
  ASSERT_TRUE(ParseAuditLine(mixed.back())->checkpoint);
  const size_t true_lines = mixed.size();
  for (std::string& line : Unsigned(2001, HeadOf(mixed.back()))) mixed.push_back(std::move(line));
  EXPECT_THAT(VerdictOn(mixed).problems,
              ElementsAre(HasSubstr(files[0] + ":" + std::to_string(true_lines + 1) + ": from here on")));
}

TEST_F(AuditVerifyTest, OnlyNotesAsManyUnsignedLinesAsAKillCanLeaveWhateverTheClockDid) {
  std::vector<std::string> lines = Unsigned(500);
  clock.JumpWall(24h * 365 * 40);
  for (std::string& line : Unsigned(501, HeadOf(lines.back()))) lines.push_back(std::move(line));
  const AuditVerdict none_signed = VerdictOn(lines);
  EXPECT_THAT(none_signed.problems, IsEmpty());
  EXPECT_THAT(none_signed.notes, ElementsAre(HasSubstr("no line is signed")));

  lines = LinesOf(AuditFiles(options.path)->front());
  for (std::string& line : Unsigned(1001, HeadOf(lines.back()))) lines.push_back(std::move(line));
  const AuditVerdict begun_well = VerdictOn(lines);
  EXPECT_THAT(begun_well.problems, IsEmpty());
  EXPECT_THAT(begun_well.notes,
              ElementsAre(AllOf(HasSubstr("the last 1002 lines, 20"), HasSubstr("chained but not yet signed"))));
}

TEST_F(AuditVerifyTest, FindsNothingWrongWithTheLogOfAnAgentThatIsKilledBeforeEachCheckpointItWouldSignByTime) {
  for (const std::string& path : files) std::filesystem::remove(path);
  options.rotate_bytes = 64 << 20;
  options.checkpoint_lines = AuditOptions().checkpoint_lines;
  options.checkpoint_interval = 24h;
  for (int start = 0; start < 9; ++start) {
    Open();
    for (int i = 0; i < 299; ++i) log->Append(Record("r"));
    WriteMany(1);
    Close();
    clock.Advance(23h);
  }
  const AuditVerdict verdict = Verify();
  EXPECT_GT(verdict.records, 2 * AuditOptions().checkpoint_lines);
  EXPECT_EQ(verdict.checkpoints, 2u);
  EXPECT_THAT(verdict.problems, IsEmpty());
}

TEST_F(AuditVerifyTest, FindsARotatedFileWithoutTheCheckpointThatEndsIt) {
  DropTheCheckpoints();
  const size_t lines = LinesOf(files[0]).size();
  EXPECT_THAT(Verify().problems, ElementsAre(AllOf(HasSubstr(files[0] + ":" + std::to_string(lines) + ": "),
                                                   HasSubstr("ends without a checkpoint"))));
}

TEST_F(AuditVerifyTest, FindsAForgedLogThatBeginsRightAfterACopiedCheckpoint) {
  // As if the older files had been removed, and with copies that are no newer.
  const std::string last = LinesOf(files[0]).back();
  const std::string copies = dir.Write("elsewhere", last + "\n", 0600);
  Spill(files[2], Joined(Unsigned(3, {HeadOf(last).seq, std::string(64, 'a')})));
  EXPECT_THAT(VerifyFiles({files[2]}, copies).problems,
              ElementsAre(AllOf(HasSubstr(files[2] + ":1: "), HasSubstr("copied at " + copies + ":1"),
                                HasSubstr("rewritten from here on"))));
  EXPECT_THAT(VerifyFiles({files[1]}, copies).problems, IsEmpty()) << "the true one does continue it";
}

// As one can who has neither the key nor the lines before.
TEST_F(AuditVerifyTest, FindsAnUnsignedLogThatBeginsBehindAllCopiedCheckpoints) {
  const std::string last = LinesOf(files[0]).back();
  const std::string copies = dir.Write("elsewhere", last + "\n", 0600);
  Spill(files[2], Joined(Unsigned(3, {HeadOf(last).seq + 1, std::string(64, 'a')})));
  EXPECT_THAT(VerifyFiles({files[2]}, copies).problems,
              ElementsAre(AllOf(HasSubstr(files[2] + ":1: "), HasSubstr("give the files before it"))));
  // An agent leaves such lines too, but then they continue what is copied.
  Spill(files[2], Joined(Unsigned(3, HeadOf(last))));
  EXPECT_THAT(VerifyFiles({files[2]}, copies).problems, IsEmpty());
}

TEST_F(AuditVerifyTest, SaysWhenNoCopyIsAboutTheLinesThatAreThere) {
  const std::string copies = dir.Write("elsewhere", LinesOf(files[0]).back() + "\n", 0600);
  EXPECT_THAT(VerifyFiles({files[2]}, copies).notes,
              ElementsAre(HasSubstr("none vouches for what is in them"), HasSubstr("earlier files are not here")));
}

TEST_F(AuditVerifyTest, FindsAForkInTheCopiesOfCheckpoints) {
  options.rotate_bytes = 64 << 20;
  const std::string before = Slurp(files[2]);
  for (const char* reason : {"one", "another"}) {
    Spill(files[2], before);  // and the state, of which this log is told nothing
    Open();
    WriteMany(1, reason);
    ASSERT_TRUE(Seal().ok());
    Close();
  }
  const std::string seq = std::to_string(HeadOf(LinesOf(files[2]).back()).seq);
  const size_t copied = LinesOf(options.checkpoints_to).size();
  EXPECT_THAT(Verify(options.checkpoints_to).problems,
              ElementsAre(AllOf(HasSubstr(options.checkpoints_to + ":" + std::to_string(copied) + ": "),
                                HasSubstr("two different checkpoints at seq " + seq), HasSubstr("the log was forked")),
                          HasSubstr("the log was rewritten")));
  EXPECT_THAT(Verify().problems, IsEmpty()) << "nothing inside tells";
}

TEST_F(AuditVerifyTest, ACopyOfACheckpointMayComeTwiceButNotChanged) {
  const std::string copies = Slurp(options.checkpoints_to);
  const std::string twice = dir.Write("twice", copies + copies, 0600);
  EXPECT_THAT(Verify(twice).problems, IsEmpty());
  std::string changed = LinesOf(options.checkpoints_to).back();
  changed.replace(changed.find("production"), 10, "Production");
  dir.Write("twice", copies + changed + "\n", 0600);
  EXPECT_THAT(Verify(twice).problems, ElementsAre(HasSubstr("one of the copies was changed")));
}

TEST_F(AuditVerifyTest, FindsATornLastLineAndGarbage) {
  std::string whole = Slurp(files[2]);
  whole.pop_back();
  Spill(files[2], whole);
  EXPECT_THAT(Verify().problems, ElementsAre(HasSubstr("cut off")));
  Spill(files[2], std::string(600'000, 'x') + "\n" + std::string(10, '\0'));
  EXPECT_THAT(Verify().problems, SizeIs(2));
}

TEST_F(AuditVerifyTest, WhatCannotBeReadIsAnErrorAndNoVerdict) {
  const std::string pub = dir.Path("audit/audit.pub");
  const auto code = [](const AuditVerifyOptions& what) { return VerifyAudit(what).status().code(); };
  EXPECT_EQ(code({.files = {}, .key_file = pub}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.files = {dir.Path("none")}, .key_file = pub}), StatusCode::kNotFound);
  EXPECT_EQ(code({.files = {dir.path()}, .key_file = pub}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.files = files, .key_file = dir.Path("none")}), StatusCode::kNotFound);
  EXPECT_EQ(code({.files = files, .key_file = files[0]}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.files = files, .key_file = pub, .checkpoints = dir.Path("none")}), StatusCode::kNotFound);
  EXPECT_EQ(code({.files = files, .key_file = options.key_path}), StatusCode::kOk) << "the private key will do";
  EXPECT_EQ(AuditFiles(dir.Path("nothing.jsonl")).status().code(), StatusCode::kNotFound);
}

TEST_F(AuditVerifyTest, PythonFindsTheSameChain) {
  const std::string program = dir.Write("chain.py", R"(
import hashlib, json, sys
last, seq = "0" * 64, 0
for path in sys.argv[1:]:
    for line in open(path, "rb"):
        assert line.endswith(b"\n")
        record = json.loads(line)
        seq += 1
        assert record["seq"] == seq and record["prev_hash"] == last, (path, seq)
        last = hashlib.sha256(line[:-1]).hexdigest()
print(seq, last, end="")
)");
  const std::string out = dir.Path("out");
  const std::string command = "python3 " + program + " " + files[0] + " " + files[1] + " " + files[2] + " > " + out;
  ASSERT_EQ(std::system(command.c_str()), 0);
  const AuditVerdict verdict = Verify();
  EXPECT_EQ(Slurp(out), std::to_string(verdict.last_seq) + " " + verdict.last_hash);
}

TEST_F(AuditVerifyTest, OpensslAcceptsACheckpointAsTheHeaderSays) {
  const OpensslCli cli;
  const nlohmann::json line = nlohmann::json::parse(LinesOf(files[2]).back());
  const nlohmann::json& checkpoint = line["checkpoint"];
  cli.Write("text", "lanyard audit checkpoint v1\n" + std::to_string(checkpoint["seq"].get<uint64_t>()) + "\n" +
                        checkpoint["hash"].get<std::string>() + "\n");
  cli.Write("signature.b64", checkpoint["signature"].get<std::string>() + "\n");
  cli.Run("base64 -d -A -in signature.b64 -out signature");
  cli.Write("audit.pub", Slurp(dir.Path("audit/audit.pub")));
  EXPECT_EQ(cli.Run("dgst -sha256 -verify audit.pub -signature signature text"), "Verified OK\n");
  cli.Run("pkey -pubin -in audit.pub -outform der -out spki");
  EXPECT_THAT(cli.Run("dgst -sha256 -r spki"), HasSubstr(checkpoint["key_id"].get<std::string>()));
}

}  // namespace
}  // namespace lanyard::testing
