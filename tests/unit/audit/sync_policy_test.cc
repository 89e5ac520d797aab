// When what was written is on the disk, and when it may be put off.
#include "node_agent/audit/audit_writer.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditWriterSyncTest : public AuditTest {
 protected:
  void OpenWriter(SyncPolicy policy = SyncPolicy::kEverySecond) {
    options.sync = policy;
    auto opened = AuditWriter::Open(options, clock.WallNow());
    ASSERT_TRUE(opened.ok()) << opened.status();
    writer = *std::move(opened);
  }
  void WriteOne(CheckpointWish wish = CheckpointWish::kWhenDue) {
    AuditEntry entry{.record = Record("one"), .time = clock.WallNow(), .done = nullptr, .result = OkStatus()};
    const Status written = writer->Write(std::span(&entry, 1), clock.WallNow(), wish);
    ASSERT_TRUE(written.ok()) << written;
  }

  std::unique_ptr<AuditWriter> writer;
};

TEST_F(AuditWriterSyncTest, ACheckpointIsOnTheDiskBeforeItIsCopiedElsewhere) {
  options.checkpoints_to = dir.Path("copies");
  OpenWriter();
  WriteOne();
  EXPECT_TRUE(writer->unsynced());
  WriteOne(CheckpointWish::kNow);
  EXPECT_FALSE(writer->unsynced()) << "after a power cut the copy would accuse the log of having been cut";
  EXPECT_TRUE(writer->Seal().ok());  // waits for the copy
  EXPECT_THAT(LinesOf(options.checkpoints_to), SizeIs(1));
}

TEST_F(AuditWriterSyncTest, WhyAFileIsRemovedIsOnTheDiskBeforeItIs) {
  options.rotate_bytes = 1000;
  options.keep_files = 1;
  OpenWriter();
  while (Names(".jsonl.0").empty()) WriteOne();
  const std::string oldest = Names(".jsonl.0")[0];
  while (std::filesystem::exists(oldest)) WriteOne();
  EXPECT_THAT(Slurp(options.path), HasSubstr("removes a rotated file"));
  EXPECT_FALSE(writer->unsynced());
}

TEST_F(AuditWriterSyncTest, AFileThatWasMovedIsOnTheDiskBeforeItIsLeft) {
  OpenWriter();
  WriteOne();
  const AuditHead end = HeadOf(Lines().back());
  EXPECT_NE(writer->durable_head(), end);
  std::filesystem::rename(options.path, dir.Path("audit/moved"));
  WriteOne();
  EXPECT_EQ(writer->durable_head(), end);
}

TEST_F(AuditWriterSyncTest, WhatIsAnsweredIsOnTheDiskExceptWhatThePolicyPutsOff) {
  struct Case {
    SyncPolicy policy;
    AuditKind kind;
    bool awaited, at_once;
  };
  for (const Case& one : std::initializer_list<Case>{{SyncPolicy::kIssues, AuditKind::kIssue, true, true},
                                                     {SyncPolicy::kIssues, AuditKind::kAdmin, true, true},
                                                     {SyncPolicy::kIssues, AuditKind::kCa, true, true},
                                                     {SyncPolicy::kIssues, AuditKind::kFetch, true, false},
                                                     {SyncPolicy::kIssues, AuditKind::kRelease, false, false},
                                                     {SyncPolicy::kEveryBatch, AuditKind::kFetch, true, true},
                                                     {SyncPolicy::kEveryBatch, AuditKind::kRelease, false, false},
                                                     {SyncPolicy::kEverySecond, AuditKind::kIssue, true, false}}) {
    writer.reset();
    OpenWriter(one.policy);
    AuditEntry entry{.record = Record("one"), .time = clock.WallNow(), .done = nullptr, .result = OkStatus()};
    entry.record.kind = one.kind;
    if (one.awaited) entry.done = [](const Status&) {};
    ASSERT_TRUE(writer->Write(std::span(&entry, 1), clock.WallNow(), CheckpointWish::kWhenDue).ok());
    EXPECT_EQ(writer->unsynced(), !one.at_once) << "kind " << static_cast<int>(one.kind);
    EXPECT_EQ(writer->durable_head() == HeadOf(Lines().back()), one.at_once);
  }
}

TEST_F(AuditWriterSyncTest, AFetchThatComesWithAnIssueIsOnTheDiskWithIt) {
  OpenWriter(SyncPolicy::kIssues);
  std::vector<AuditEntry> entries(2);
  for (AuditEntry& entry : entries) {
    entry = {.record = Record("one"), .time = clock.WallNow(), .done = [](const Status&) {}, .result = OkStatus()};
  }
  entries[0].record.kind = AuditKind::kFetch;
  entries[1].record.kind = AuditKind::kIssue;
  ASSERT_TRUE(writer->Write(entries, clock.WallNow(), CheckpointWish::kWhenDue).ok());
  EXPECT_EQ(writer->durable_head(), HeadOf(Lines().back()));
}

TEST(SyncPolicyTest, NamesReadBackAndNoOtherIsRead) {
  for (const SyncPolicy policy : {SyncPolicy::kEveryBatch, SyncPolicy::kIssues, SyncPolicy::kEverySecond}) {
    const auto read = ParseSyncPolicy(SyncPolicyName(policy));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, policy);
  }
  for (const char* name : {"", "Batch", "issues", "never"}) EXPECT_FALSE(ParseSyncPolicy(name).ok()) << name;
}

}  // namespace
}  // namespace lanyard::testing
