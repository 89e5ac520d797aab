#include "node_agent/base/file_lock.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

TEST(FileLockTest, IsTakenOnceAndGivenBackWithItsDescriptor) {
  const TempDir dir;
  const std::string path = dir.Path("lock");
  {
    const auto first = TryLockFile(path);
    ASSERT_TRUE(first.ok() && first->taken);
    const auto second = TryLockFile(path);
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_FALSE(second->taken);
    EXPECT_TRUE(static_cast<bool>(second->fd)) << "to read what the holder wrote";
  }
  const auto third = TryLockFile(path);
  ASSERT_TRUE(third.ok());
  EXPECT_TRUE(third->taken);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST(FileLockTest, DoesNotFollowASymbolicLink) {
  const TempDir dir;
  ASSERT_EQ(symlink(dir.Path("elsewhere").c_str(), dir.Path("lock").c_str()), 0);
  EXPECT_FALSE(TryLockFile(dir.Path("lock")).ok());
  struct stat info {};
  EXPECT_NE(stat(dir.Path("elsewhere").c_str(), &info), 0);
}

}  // namespace
}  // namespace lanyard
