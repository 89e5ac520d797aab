// The place that checkpoints are copied to is not there, or does not answer, as a file of a server that is gone.
#include "node_agent/audit/checkpoint_copy.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/audit/audit_fixture.h"

namespace {

std::atomic<int> hanging_file = 0;  // the last digits of its inode number

}  // namespace

// In place of the C library's in this program.
extern "C" int fsync(int fd) {
  struct stat info {};
  if (fstat(fd, &info) == 0) hanging_file.wait(static_cast<int>(info.st_ino));
  return static_cast<int>(syscall(SYS_fsync, fd));
}

namespace lanyard::testing {
namespace {

class CheckpointCopyTest : public AuditTest {
 protected:
  CheckpointCopyTest() {
    struct stat info {};
    if (stat(dead_.c_str(), &info) == 0) hanging_file = static_cast<int>(info.st_ino);
  }
  ~CheckpointCopyTest() override { LetGo(); }
  static void LetGo() {
    hanging_file = 0;
    hanging_file.notify_all();
  }
  // Until a thread hangs there.
  bool WaitForDead(CheckpointCopy& copy) const {
    for (int i = 0; i < 2000 && Slurp(dead_).empty(); ++i) copy.Flush(10ms);
    return !Slurp(dead_).empty();
  }

  const std::string dead_ = dir.Write("dead", "", 0600);
};

TEST_F(CheckpointCopyTest, CopiesEachCheckpointAndCatchesUpAfterAFailure) {
  options.checkpoints_to = dir.Path("elsewhere/copies");
  Open();
  WriteMany(1);
  ASSERT_TRUE(Seal().ok()) << "a copy that fails blocks no record";
  EXPECT_EQ(log->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(log->health().text, HasSubstr(options.checkpoints_to));
  dir.MakeDir("elsewhere", 0700);
  dir.Write("elsewhere/copies", "{\"torn", 0600);
  WriteMany(1);
  ASSERT_TRUE(Seal().ok());
  EXPECT_EQ(log->health().text, "");
  const std::vector<std::string> copies = LinesOf(options.checkpoints_to);
  ASSERT_THAT(copies, SizeIs(3));
  EXPECT_EQ(copies[2], Lines().back());
  dir.Write("elsewhere/copies", copies[1] + "\n" + copies[2] + "\n", 0600);
  EXPECT_THAT(Verify(options.checkpoints_to).problems, IsEmpty());
}

TEST_F(CheckpointCopyTest, WhatCouldNotBeCopiedGoesToTheTargetThatIsNamedNext) {
  options.checkpoints_to = dir.Path("nowhere/copies");
  Open();
  WriteMany(1);
  ASSERT_TRUE(Seal().ok());
  ASSERT_THAT(log->health().text, HasSubstr(options.checkpoints_to));
  options.checkpoints_to = dir.Path("copies");
  log->SetOptions(options);
  ASSERT_TRUE(Seal().ok());
  EXPECT_EQ(log->health().text, "");
  EXPECT_THAT(LinesOf(options.checkpoints_to), ElementsAre(Lines().back()));
}

TEST_F(CheckpointCopyTest, ATargetThatHangsIsToldAndEverythingIsCopiedOnceItAnswers) {
  CheckpointCopy copy(dead_, 0s);
  copy.Send("one");
  ASSERT_TRUE(WaitForDead(copy));
  copy.Send("two");
  EXPECT_THAT(copy.problem(), AllOf(HasSubstr(dead_ + ": it has not answered for"), HasSubstr("; 2 wait")));
  LetGo();
  copy.Flush(20s);
  EXPECT_EQ(copy.problem(), "");
  EXPECT_THAT(LinesOf(dead_), ElementsAre("one", "two"));
}

TEST_F(CheckpointCopyTest, AnotherTargetGetsWhatWaitsThoughTheFirstHangs) {
  CheckpointCopy copy(dead_);
  copy.Send("one");
  ASSERT_TRUE(WaitForDead(copy));
  copy.SetTarget(dir.Path("alive"));
  copy.Send("two");
  copy.Flush(20s);
  EXPECT_EQ(copy.problem(), "");
  EXPECT_THAT(LinesOf(dir.Path("alive")), ElementsAre("one", "two"));
}

TEST_F(CheckpointCopyTest, MayBeDestroyedWhileItsTargetHangs) {
  auto copy = std::make_unique<CheckpointCopy>(dead_);
  copy->Send("one");
  ASSERT_TRUE(WaitForDead(*copy));
  copy.reset();
}

TEST_F(CheckpointCopyTest, NoRecordWaitsForATargetThatHangsNorDoesACleanStop) {
  options.checkpoints_to = dead_;
  options.checkpoint_lines = 1;
  Open();
  WriteMany(3);
  EXPECT_EQ(log->stats().checkpoints, 4u);
  EXPECT_TRUE(Seal().ok());
  Close();
  EXPECT_THAT(Verify().problems, IsEmpty());
}

}  // namespace
}  // namespace lanyard::testing
