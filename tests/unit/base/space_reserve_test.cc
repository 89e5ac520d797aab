#include "node_agent/base/space_reserve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <memory>

#include "tests/support/temp_dir.h"

namespace lanyard::testing {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kBytes = 256 * 1024;

std::string Text(const Status& status) {
  return std::string(Message(status));
}

struct stat Look(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info;
}

TEST(SpaceReserveTest, HoldsRealBlocksAndNotAHole) {
  const TempDir temp;
  SpaceReserve reserve(temp.Path("reserve"), kBytes);
  EXPECT_FALSE(reserve.held());
  ASSERT_TRUE(reserve.Make().ok());
  EXPECT_TRUE(reserve.held());
  const struct stat info = Look(reserve.path());
  EXPECT_EQ(info.st_size, static_cast<off_t>(kBytes));
  EXPECT_GE(info.st_blocks * 512, static_cast<off_t>(kBytes));
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST(SpaceReserveTest, GivesItsBlocksBackAndTakesThemAgain) {
  const TempDir temp;
  SpaceReserve reserve(temp.Path("reserve"), kBytes);
  ASSERT_TRUE(reserve.Make().ok());
  ASSERT_TRUE(reserve.Release().ok());
  EXPECT_FALSE(reserve.held());
  EXPECT_EQ(Look(reserve.path()).st_size, 0);
  ASSERT_TRUE(reserve.Restore().ok());
  EXPECT_TRUE(reserve.held());
  EXPECT_GE(Look(reserve.path()).st_blocks * 512, static_cast<off_t>(kBytes));
}

TEST(SpaceReserveTest, FillsTheHoleThatAnEarlierRunLeft) {
  const TempDir temp;
  const std::string path = temp.Write("reserve", "", 0644);
  ASSERT_EQ(truncate(path.c_str(), kBytes), 0);
  SpaceReserve reserve(path, kBytes);
  ASSERT_TRUE(reserve.Make().ok());
  EXPECT_GE(Look(path).st_blocks * 512, static_cast<off_t>(kBytes));
  EXPECT_EQ(Look(path).st_mode & 07777, 0600u);
}

TEST(SpaceReserveTest, ShrinksToWhatIsAskedForNow) {
  const TempDir temp;
  ASSERT_TRUE(SpaceReserve(temp.Path("reserve"), 4 * kBytes).Make().ok());
  ASSERT_TRUE(SpaceReserve(temp.Path("reserve"), kBytes).Make().ok());
  EXPECT_EQ(Look(temp.Path("reserve")).st_size, static_cast<off_t>(kBytes));
}

TEST(SpaceReserveTest, NoBytesMeanNoFile) {
  const TempDir temp;
  SpaceReserve reserve(temp.Path("reserve"), 0);
  EXPECT_TRUE(reserve.Make().ok());
  EXPECT_TRUE(reserve.Restore().ok());
  EXPECT_TRUE(reserve.Release().ok());
  EXPECT_FALSE(reserve.held());
  EXPECT_FALSE(std::filesystem::exists(reserve.path()));
}

TEST(SpaceReserveTest, TruncatesNeitherThroughALinkNorAnotherNameOfTheSameFile) {
  const TempDir temp;
  const std::string victim = temp.Write("victim", "precious", 0600);
  SpaceReserve by_link(temp.Link(victim, "link"), 4);
  EXPECT_FALSE(by_link.Make().ok());
  std::filesystem::create_hard_link(victim, temp.Path("hard"));
  SpaceReserve by_name(temp.Path("hard"), 4);
  EXPECT_EQ(by_name.Make().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(by_name.Release().ok());
  EXPECT_EQ(std::filesystem::file_size(victim), 8u);
}

TEST(SpaceReserveTest, SaysWhatItCouldNotOpen) {
  const TempDir temp;
  SpaceReserve reserve(temp.Path("absent/reserve"), kBytes);
  EXPECT_THAT(Text(reserve.Make()), HasSubstr(temp.Path("absent/reserve")));
  EXPECT_FALSE(reserve.held());
  EXPECT_FALSE(reserve.Restore().ok());
}

TEST(SpaceReserveTest, KeepsNothingOfAReserveThatCouldNotBeMade) {
  const TempDir temp;
  const pid_t child = fork();
  if (child == 0) {  // a limit for one process only
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{kBytes / 2, kBytes / 2};
    setrlimit(RLIMIT_FSIZE, &limit);
    SpaceReserve reserve(temp.Path("reserve"), kBytes);
    _exit(!reserve.Make().ok() && !reserve.held() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Look(temp.Path("reserve")).st_blocks, 0);
}

TEST(SpaceReserveTest, DoesNotFillTheDiskAgainWhenItTakesTheSpaceBack) {
  const TempDir temp;
  if (mount("tmpfs", temp.path().c_str(), "tmpfs", 0, "size=1m,mode=0700") != 0) {
    GTEST_SKIP() << "needs root, to mount a file system of one megabyte";
  }
  const std::unique_ptr<const char, decltype([](const char* path) { umount2(path, MNT_DETACH); })> mounted(
      temp.path().c_str());
  SpaceReserve reserve(temp.Path("reserve"), kBytes);
  ASSERT_TRUE(reserve.Make().ok());
  ASSERT_TRUE(SpaceReserve(temp.Path("others"), 3 * kBytes).Make().ok());
  EXPECT_EQ(SpaceReserve(temp.Path("late"), kBytes).Make().code(), StatusCode::kResourceExhausted);

  ASSERT_TRUE(reserve.Release().ok());
  EXPECT_THAT(Text(reserve.Restore()), HasSubstr("must stay free"));
  EXPECT_FALSE(reserve.held());

  std::filesystem::remove(temp.Path("others"));
  EXPECT_TRUE(reserve.Restore().ok());
}

}  // namespace
}  // namespace lanyard::testing
