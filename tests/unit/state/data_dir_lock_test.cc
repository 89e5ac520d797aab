#include "node_agent/state/data_dir_lock.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/state/state_fixture.h"

namespace lanyard::testing {
namespace {

TEST(DataDirLockTest, MakesAPrivateDirectory) {
  const TempDir temp;
  const std::string path = temp.Path("state/lanyard");
  ASSERT_TRUE(DataDirLock::Acquire(path).ok());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST(DataDirLockTest, ASecondAgentIsToldWhoUsesTheDirectory) {
  const TempDir temp;
  const auto first = DataDirLock::Acquire(temp.path());
  ASSERT_TRUE(first.ok());
  const auto second = DataDirLock::Acquire(temp.path());
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(second.status()), HasSubstr(fmt::format("another lanyard (pid {}) uses {}", getpid(), temp.path())));
}

TEST(DataDirLockTest, TheLockGoesWithItsHolder) {
  const TempDir temp;
  { ASSERT_TRUE(DataDirLock::Acquire(temp.path()).ok()); }
  EXPECT_TRUE(DataDirLock::Acquire(temp.path()).ok());

  const pid_t child = fork();
  if (child == 0) {
    const auto lock = DataDirLock::Acquire(temp.path());
    _exit(lock.ok() ? 0 : 1);  // dies with the lock in hand
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(DataDirLock::Acquire(temp.path()).ok());
}

TEST(DataDirLockTest, RefusesADirectoryThatOthersMayChange) {
  const TempDir temp;
  const std::string path = temp.MakeDir("open", 0777);
  EXPECT_EQ(DataDirLock::Acquire(path).status().code(), StatusCode::kPermissionDenied);
}

TEST(DataDirLockTest, DoesNotFollowALinkInPlaceOfTheLock) {
  const TempDir temp;
  const std::string victim = temp.Write("victim", "precious");
  const std::string directory = temp.MakeDir("data", 0700);
  temp.Link(victim, "data/lock");
  EXPECT_FALSE(DataDirLock::Acquire(directory).ok());
  EXPECT_EQ(std::filesystem::file_size(victim), 8u);
}

TEST(DataDirLockTest, NonsenseInTheLockFileIsNotRepeated) {
  const TempDir temp;
  const auto first = DataDirLock::Acquire(temp.path());
  ASSERT_TRUE(first.ok());
  temp.Write("lock", "1\nERROR forged line", 0600);
  EXPECT_THAT(Text(DataDirLock::Acquire(temp.path()).status()), HasSubstr("(pid unknown)"));
}

}  // namespace
}  // namespace lanyard::testing
