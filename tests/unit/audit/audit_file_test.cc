// A disk that fails a sync and is well again: what it may have dropped is written once more.
#include "node_agent/audit/audit_file.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/audit/audit_fixture.h"

// In place of the C library's in this program.
extern "C" int fdatasync(int fd) {
  using lanyard::testing::failing_syncs;
  if (failing_syncs == 0) return static_cast<int>(syscall(SYS_fdatasync, fd));
  --failing_syncs;
  errno = EIO;
  return -1;
}

namespace lanyard::testing {
namespace {

class AuditFileTest : public ::testing::Test {
 protected:
  AuditFileTest() : file_(AuditFile::Create(dir_.Path("log")).value()) { failing_syncs = 0; }

  // As after a power cut, or as the kernel may show pages that it has given up on.
  void Drop(uint64_t from, uint64_t bytes) {
    const UniqueFd fd(open(file_.path().c_str(), O_WRONLY | O_CLOEXEC));
    const std::string zeros(bytes, '\0');
    ASSERT_EQ(pwrite(fd.get(), zeros.data(), bytes, static_cast<off_t>(from)), static_cast<ssize_t>(bytes));
  }

  TempDir dir_;
  AuditFile file_;
};

TEST_F(AuditFileTest, WhatAFailedSyncMayHaveDroppedIsWrittenAgainByTheNext) {
  ASSERT_TRUE(file_.Append("one\n", AuditFsync::kNow).ok());
  ASSERT_TRUE(file_.Append("two\n", AuditFsync::kLater).ok());
  ASSERT_TRUE(file_.Append("three\n", AuditFsync::kLater).ok());
  failing_syncs = 1;
  EXPECT_THAT(file_.Sync().message(), HasSubstr(file_.path()));
  Drop(4, 10);
  ASSERT_TRUE(file_.Sync().ok());
  EXPECT_EQ(Slurp(file_.path()), "one\ntwo\nthree\n");
  EXPECT_EQ(file_.Look().value(), AuditFile::Fate::kOurs);
}

TEST_F(AuditFileTest, ALineThatIsNotOnTheDiskIsTakenBackAndWhatWasToFollowIsNot) {
  ASSERT_TRUE(file_.Append("one\n", AuditFsync::kLater).ok());
  failing_syncs = 2;
  EXPECT_FALSE(file_.Append("refused\n", AuditFsync::kNow).ok());
  Drop(0, 4);
  ASSERT_TRUE(file_.Append("two\n", AuditFsync::kNow).ok());
  EXPECT_EQ(Slurp(file_.path()), "one\ntwo\n");
}

TEST_F(AuditFileTest, WhatIsOnTheDiskIsNotWrittenAgain) {
  ASSERT_TRUE(file_.Append("one\n", AuditFsync::kLater).ok());
  ASSERT_TRUE(file_.Sync().ok());
  ASSERT_TRUE(file_.Append("two\n", AuditFsync::kLater).ok());
  failing_syncs = 1;
  EXPECT_FALSE(file_.Sync().ok());
  Drop(0, 4);
  ASSERT_TRUE(file_.Sync().ok());
  EXPECT_EQ(Slurp(file_.path()), std::string(4, '\0') + "two\n");
}

}  // namespace
}  // namespace lanyard::testing
