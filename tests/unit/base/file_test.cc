#include "node_agent/base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "node_agent/base/fd.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

TEST(FileTest, ReadsUpToTheCapAndRefusesMore) {
  TempDir dir;
  const std::string bytes(10'000, 'x');
  const std::string file = dir.Write("f", bytes);
  EXPECT_EQ(ReadFile(file, bytes.size()).value(), bytes);
  EXPECT_EQ(ReadFile(file, bytes.size() - 1).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(dir.Write("empty", ""), 0).value(), "");
}

TEST(FileTest, TellsAbsentFromUnreadable) {
  TempDir dir;
  EXPECT_EQ(ReadFile(dir.Path("none"), 10).status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(Message(ReadFile(dir.Path("none"), 10).status())), HasSubstr(dir.Path("none")));
  EXPECT_FALSE(ReadFile(dir.path(), 10).ok());  // a directory
}

// /dev/zero never ends: the cap must come before the memory.
TEST(FileTest, StopsAtTheCapOfAnEndlessFile) {
  EXPECT_EQ(ReadFile("/dev/zero", 100'000).status().code(), StatusCode::kResourceExhausted);
}

TEST(FileTest, WritesWithExactlyTheModeAskedForWhateverTheUmask) {
  TempDir dir;
  for (const mode_t mask : {0000, 0077}) {
    const mode_t before = umask(mask);
    EXPECT_TRUE(WriteFileAtomic(dir.Path("public"), "x", 0644).ok());
    EXPECT_TRUE(WriteFileAtomic(dir.Path("secret"), "x", 0600).ok());
    umask(before);
    EXPECT_EQ(ModeOf(dir.Path("public")), 0644u);
    EXPECT_EQ(ModeOf(dir.Path("secret")), 0600u);
  }
}

TEST(FileTest, ReplacesAFileWithoutTouchingTheOldOne) {
  TempDir dir;
  const std::string file = dir.Write("f", "old");
  fs::create_hard_link(file, dir.Path("other-name"));
  ASSERT_TRUE(WriteFileAtomic(file, "new", 0644).ok());
  EXPECT_EQ(ReadFile(file, 10).value(), "new");
  EXPECT_EQ(ReadFile(dir.Path("other-name"), 10).value(), "old");  // who had it open still sees all of the old bytes
}

TEST(FileTest, WritesOverWhatACrashLeftBehind) {
  TempDir dir;
  dir.Write("f.tmp", "half");
  ASSERT_TRUE(WriteFileAtomic(dir.Path("f"), "whole", 0600).ok());
  EXPECT_EQ(ReadFile(dir.Path("f"), 10).value(), "whole");
  EXPECT_FALSE(fs::exists(dir.Path("f.tmp")));
}

// Somebody plants a symlink where the temporary file will be, to have another file overwritten.
TEST(FileTest, DoesNotWriteThroughASymlinkInPlaceOfTheTemporaryFile) {
  TempDir dir;
  dir.Write("victim", "precious");
  dir.Link("victim", "f.tmp");
  ASSERT_TRUE(WriteFileAtomic(dir.Path("f"), "new", 0600).ok());
  EXPECT_EQ(ReadFile(dir.Path("victim"), 100).value(), "precious");
  EXPECT_EQ(ReadFile(dir.Path("f"), 100).value(), "new");
}

TEST(FileTest, ReplacesASymlinkInsteadOfWritingThroughIt) {
  TempDir dir;
  dir.Write("victim", "precious");
  dir.Link("victim", "f");
  ASSERT_TRUE(WriteFileAtomic(dir.Path("f"), "new", 0600).ok());
  EXPECT_EQ(ReadFile(dir.Path("victim"), 100).value(), "precious");
  EXPECT_FALSE(fs::is_symlink(dir.Path("f")));
}

TEST(FileTest, LeavesNothingBehindWhenItCannotWrite) {
  TempDir dir;
  dir.MakeDir("f");
  dir.Write("f/x", "1");  // a directory that is not empty cannot be replaced
  EXPECT_FALSE(WriteFileAtomic(dir.Path("f"), "new", 0600).ok());
  EXPECT_FALSE(fs::exists(dir.Path("f.tmp")));
  EXPECT_EQ(WriteFileAtomic(dir.Path("none/f"), "new", 0600).code(), StatusCode::kNotFound);
}

TEST(FileTest, MakesDirectoriesWithTheirModeAndLeavesExistingOnes) {
  TempDir dir;
  const mode_t before = umask(0077);
  EXPECT_TRUE(MakeDirectory(dir.Path("a/b/c"), 0750).ok());
  umask(before);
  EXPECT_EQ(ModeOf(dir.Path("a/b")), 0755u);
  EXPECT_EQ(ModeOf(dir.Path("a/b/c")), 0750u);
  EXPECT_TRUE(MakeDirectory(dir.Path("a/b/c"), 0700).ok());
  EXPECT_EQ(ModeOf(dir.Path("a/b/c")), 0750u);
  dir.Write("file", "x");
  EXPECT_EQ(MakeDirectory(dir.Path("file"), 0700).code(), StatusCode::kFailedPrecondition);
}

TEST(FileTest, KnowsTheParentOfAPath) {
  EXPECT_EQ(ParentDirectory("/a/b"), "/a");
  EXPECT_EQ(ParentDirectory("/a"), "/");
  EXPECT_EQ(ParentDirectory("a"), ".");
}

TEST(UniqueFdTest, ClosesWhatItOwnsOnceAndOnlyThat) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    UniqueFd reader(ends[0]);
    UniqueFd moved = std::move(reader);
    EXPECT_FALSE(reader);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_TRUE(moved);
  }
  EXPECT_EQ(close(ends[0]), -1);
  UniqueFd writer(ends[1]);
  EXPECT_EQ(writer.release(), ends[1]);
  EXPECT_EQ(close(ends[1]), 0);
}

}  // namespace
}  // namespace lanyard
