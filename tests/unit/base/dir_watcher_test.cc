#include "node_agent/base/dir_watcher.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

// The kernel's events are real, the debouncing is on the fake clock.
class DirWatcherTest : public testing::Test {
 protected:
  void Watch(std::vector<std::string> paths) {
    auto watcher = WatchPaths(loop_, clock_, std::move(paths), [this] { ++calls_; });
    ASSERT_TRUE(watcher.ok()) << watcher.status();
    watcher_ = *std::move(watcher);
    EXPECT_TRUE(watcher_->health().ok()) << watcher_->health();
  }

  // True when what was done since then leads to exactly one call.
  bool TellsOnce() {
    if (!RunUntil(
            loop_, [&] { return clock_.NextAlarm().has_value(); }, std::chrono::seconds(5)))
      return false;
    RunAll();
    const int before = calls_;
    clock_.Advance(milliseconds(1000));
    return calls_ == before + 1 && !clock_.NextAlarm();
  }

  // inotify queues an event before the system call that caused it returns, so one round of the loop sees it.
  bool TellsNothing() {
    RunAll();
    return !clock_.NextAlarm();
  }

  void RunAll() {
    for (int i = 0; i < 3; ++i) loop_.RunOnce(0);
  }

  EventLoop loop_;
  FakeClock clock_;
  TempDir dir_;
  int calls_ = 0;
  std::unique_ptr<DirWatcher> watcher_;
};

TEST_F(DirWatcherTest, TellsOfFilesMadeChangedRenamedAndRemoved) {
  const std::string watched = dir_.MakeDir("d");
  Watch({watched});
  EXPECT_TRUE(TellsNothing());
  dir_.Write("d/a", "1");
  EXPECT_TRUE(TellsOnce());
  dir_.Write("d/a", "2");
  EXPECT_TRUE(TellsOnce());
  fs::rename(dir_.Path("d/a"), dir_.Path("d/b"));
  EXPECT_TRUE(TellsOnce());
  fs::permissions(dir_.Path("d/b"), fs::perms::all);
  EXPECT_TRUE(TellsOnce());
  fs::remove(dir_.Path("d/b"));
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, TellsOnceForABurstAndNotBeforeItIsQuiet) {
  Watch({dir_.MakeDir("d")});
  for (int i = 0; i < 5; ++i) {
    dir_.Write(fmt::format("d/{}", i), "x");
    RunAll();
    clock_.Advance(milliseconds(49));
    EXPECT_EQ(calls_, 0);
  }
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(calls_, 1);
}

TEST_F(DirWatcherTest, TellsAfterASecondAtTheLatestWhenABurstDoesNotEnd) {
  Watch({dir_.MakeDir("d")});
  for (int i = 0; i < 30; ++i) {
    dir_.Write("d/busy", "x");
    RunAll();
    clock_.Advance(milliseconds(40));
  }
  EXPECT_EQ(calls_, 1);
}

TEST_F(DirWatcherTest, NoticesADirectoryThatVanishesAndComesBack) {
  const std::string watched = dir_.MakeDir("d");
  Watch({watched});
  fs::remove_all(watched);
  EXPECT_TRUE(TellsOnce());
  dir_.MakeDir("d");
  EXPECT_TRUE(TellsOnce());
  dir_.Write("d/a", "1");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, NoticesADirectoryThatIsReplacedByRename) {
  const std::string watched = dir_.MakeDir("d");
  dir_.MakeDir("other");
  Watch({watched});
  fs::rename(watched, dir_.Path("old"));
  fs::rename(dir_.Path("other"), watched);
  EXPECT_TRUE(TellsOnce());
  dir_.Write("old/a", "1");
  EXPECT_TRUE(TellsNothing());
  dir_.Write("d/a", "1");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, NoticesThatADirectoryFarAboveIsReplacedByRename) {
  dir_.MakeDir("x/y/d");
  dir_.MakeDir("other/y/d");
  Watch({dir_.Path("x/y/d")});
  fs::rename(dir_.Path("x"), dir_.Path("old"));
  fs::rename(dir_.Path("other"), dir_.Path("x"));
  EXPECT_TRUE(TellsOnce());
  dir_.Write("old/y/d/a", "1");
  EXPECT_TRUE(TellsNothing());
  dir_.Write("x/y/d/a", "1");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, NoticesThatADirectoryFarAboveTheTargetOfALinkIsReplacedByRename) {
  dir_.MakeDir("x/y");
  dir_.MakeDir("other/y");
  dir_.MakeDir("d");
  dir_.Write("x/y/real", "1");
  dir_.Write("other/y/real", "2");
  dir_.Link("../x/y/real", "d/link");
  Watch({dir_.Path("d")});
  fs::rename(dir_.Path("x"), dir_.Path("old"));
  fs::rename(dir_.Path("other"), dir_.Path("x"));
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, WaitsForAPathWhoseParentsAreNotThereYet) {
  Watch({dir_.Path("x/y/d")});
  dir_.MakeDir("x");
  EXPECT_TRUE(TellsOnce());
  dir_.MakeDir("x/y/d");
  EXPECT_TRUE(TellsOnce());
  dir_.Write("x/y/d/a", "1");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, WatchesASingleFileAndNotItsNeighbours) {
  const std::string file = dir_.Write("f", "1");
  Watch({file});
  dir_.Write("neighbour", "1");
  EXPECT_TRUE(TellsNothing());
  dir_.Write("f", "2");
  EXPECT_TRUE(TellsOnce());
  dir_.Write("f.new", "3");
  fs::rename(dir_.Path("f.new"), file);
  EXPECT_TRUE(TellsOnce());
  fs::remove(file);
  EXPECT_TRUE(TellsOnce());
}

// The kubelet writes a new directory and then renames a symlink over ..data.
TEST_F(DirWatcherTest, NoticesTheSwapOfAConfigMap) {
  const std::string volume = dir_.MakeDir("volume");
  dir_.MakeDir("volume/..1");
  dir_.Write("volume/..1/f", "old");
  dir_.Link("..1", "volume/..data");
  dir_.Link("..data/f", "volume/f");
  Watch({volume + "/f", volume});
  for (int version = 2; version <= 4; ++version) {
    dir_.MakeDir(fmt::format("volume/..{}", version));
    dir_.Write(fmt::format("volume/..{}/f", version), "new");
    dir_.Link(fmt::format("..{}", version), "volume/..data_tmp");
    fs::rename(dir_.Path("volume/..data_tmp"), dir_.Path("volume/..data"));
    fs::remove_all(dir_.Path(fmt::format("volume/..{}", version - 1)));
    EXPECT_TRUE(TellsOnce()) << version;
  }
}

TEST_F(DirWatcherTest, NoticesChangesBehindSymlinksOfADirectory) {
  dir_.MakeDir("d");
  dir_.MakeDir("elsewhere");
  dir_.Write("elsewhere/real", "1");
  dir_.Link("real", "elsewhere/alias");
  dir_.Link("../elsewhere/alias", "d/link");
  Watch({dir_.Path("d")});
  dir_.Write("elsewhere/unrelated", "1");
  EXPECT_TRUE(TellsNothing());
  dir_.Write("elsewhere/real", "2");
  EXPECT_TRUE(TellsOnce());
  fs::remove(dir_.Path("elsewhere/alias"));
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, FollowsALinkThatIsAddedLater) {
  dir_.MakeDir("d");
  dir_.Write("real", "1");
  Watch({dir_.Path("d")});
  dir_.Link("../real", "d/link");
  EXPECT_TRUE(TellsOnce());
  dir_.Write("real", "2");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, SurvivesALoopOfSymlinks) {
  dir_.Link("b", "a");
  dir_.Link("a", "b");
  dir_.MakeDir("d");
  dir_.Link("self/self", "d/self");
  Watch({dir_.Path("a"), dir_.Path("d")});
  dir_.Write("d/x", "1");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, TakesAnOverflowOfTheQueueForAChange) {
  int limit = 0;
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/sys/fs/inotify/max_queued_events", "re"), fclose);
  if (!file || fscanf(file.get(), "%d", &limit) != 1 || limit > 100'000)
    GTEST_SKIP() << "the queue is too long to overflow it";
  Watch({dir_.MakeDir("d"), dir_.Path("d/only")});
  for (int i = 0; i < limit / 2; ++i) {  // different names, since equal events in a row are merged
    const std::string name = dir_.Path(fmt::format("d/{}", i));
    std::fclose(std::fopen(name.c_str(), "we"));
    unlink(name.c_str());
  }
  EXPECT_TRUE(TellsOnce());
  dir_.Write("d/only", "1");
  EXPECT_TRUE(TellsOnce());
}

TEST_F(DirWatcherTest, MayBeDestroyedByItsOwnCall) {
  dir_.MakeDir("d");
  auto watcher = WatchPaths(loop_, clock_, {dir_.Path("d")}, [this] {
    watcher_.reset();
    ++calls_;
  });
  ASSERT_TRUE(watcher.ok());
  watcher_ = *std::move(watcher);
  dir_.Write("d/a", "1");
  RunAll();
  clock_.Advance(milliseconds(100));
  EXPECT_EQ(calls_, 1);
  dir_.Write("d/a", "2");
  RunAll();
  EXPECT_FALSE(clock_.NextAlarm());
}

TEST_F(DirWatcherTest, TellsNothingAfterItIsDestroyed) {
  Watch({dir_.MakeDir("d")});
  dir_.Write("d/a", "1");
  RunAll();
  EXPECT_TRUE(clock_.NextAlarm());
  watcher_.reset();
  EXPECT_FALSE(clock_.NextAlarm());
  RunAll();
  EXPECT_EQ(calls_, 0);
}

TEST(DirWatcherOnTheSystemClockTest, TellsWithinMilliseconds) {
  EventLoop loop;
  auto clock = MakeSystemClock(loop);
  TempDir dir;
  bool told = false;
  auto watcher = WatchPaths(loop, *clock, {dir.path()}, [&] { told = true; }, {.quiet = milliseconds(1)});
  ASSERT_TRUE(watcher.ok());
  dir.Write("a", "1");
  EXPECT_TRUE(RunUntil(loop, [&] { return told; }));
}

}  // namespace
}  // namespace lanyard
