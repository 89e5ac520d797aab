#include "node_agent/app/write_set.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "node_agent/base/fd.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

size_t SetsIn(const TempDir& dir) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
    if (entry.path().filename().string().starts_with(".set-")) ++count;
  }
  return count;
}

TEST(WriteSetTest, WritesTheFilesWithTheirModes) {
  TempDir dir;
  ASSERT_TRUE(WriteSet(dir.Path("deep/er"), {{"svid.pem", "cert", 0644}, {"svid.key", "key", 0600}}).ok());
  EXPECT_EQ(Read(dir.Path("deep/er/svid.pem")), "cert");
  EXPECT_EQ(Read(dir.Path("deep/er/svid.key")), "key");
  EXPECT_EQ(ModeOf(dir.Path("deep/er")), 0700u);
  EXPECT_EQ(ModeOf(dir.Path("deep/er/svid.pem")), 0644u);
  EXPECT_EQ(ModeOf(dir.Path("deep/er/svid.key")), 0600u);
}

TEST(WriteSetTest, TheKeyIsPrivateWhateverTheUmask) {
  TempDir dir;
  const mode_t before = umask(0);
  EXPECT_TRUE(WriteSet(dir.path(), {{"svid.key", "key", 0600}}).ok());
  umask(before);
  EXPECT_EQ(ModeOf(dir.Path("svid.key")), 0600u);
}

TEST(WriteSetTest, KeepsTheSetBeforeTheNewestAndNoOlder) {
  TempDir dir;
  for (const char* text : {"1", "2", "3", "4"})
    ASSERT_TRUE(WriteSet(dir.path(), {{"svid.pem", text}, {"svid.key", text}}).ok());
  EXPECT_EQ(Read(dir.Path("svid.pem")), "4");
  EXPECT_EQ(SetsIn(dir), 2u);
}

TEST(WriteSetTest, ANameThatIsNotInTheNewSetIsGone) {
  TempDir dir;
  dir.Write("mine", "not of a set");
  ASSERT_EQ(symlink("elsewhere", dir.Path("link").c_str()), 0);
  ASSERT_TRUE(WriteSet(dir.path(), {{"svid.pem", "1"}, {"partner.pem", "1"}}).ok());
  ASSERT_TRUE(WriteSet(dir.path(), {{"svid.pem", "2"}}).ok());
  EXPECT_EQ(Read(dir.Path("svid.pem")), "2");
  EXPECT_FALSE(std::filesystem::is_symlink(dir.Path("partner.pem")));
  EXPECT_EQ(Read(dir.Path("mine")), "not of a set");
  EXPECT_TRUE(std::filesystem::is_symlink(dir.Path("link")));
}

// A reader that follows .current once sees certificate and key of one set, however often they are replaced meanwhile.
TEST(WriteSetTest, AReaderThatOpensTheDirectoryOnceNeverSeesTwoSets) {
  TempDir dir;
  ASSERT_TRUE(WriteSet(dir.path(), {{"svid.pem", "0"}, {"svid.key", "0"}}).ok());
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 1; i <= 200; ++i) {
      const std::string text = std::to_string(i);
      if (!WriteSet(dir.path(), {{"svid.pem", text}, {"svid.key", text}}).ok()) break;
    }
    done = true;
  });
  int mixed = 0;
  int read = 0;
  const auto read_at = [](int directory, const char* name) {
    UniqueFd fd(openat(directory, name, O_RDONLY | O_CLOEXEC));
    char text[16];
    const ssize_t got = fd ? ::read(fd.get(), text, sizeof text) : -1;
    return got < 0 ? std::string("gone") : std::string(text, static_cast<size_t>(got));
  };
  while (!done) {
    UniqueFd set(open((dir.Path(".current")).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(set);
    const std::string certificate = read_at(set.get(), "svid.pem");
    const std::string key = read_at(set.get(), "svid.key");
    if (certificate == "gone" || key == "gone") continue;  // slept through two rotations
    ++read;
    if (certificate != key) ++mixed;
  }
  writer.join();
  EXPECT_EQ(mixed, 0);
  EXPECT_GT(read, 0);
}

TEST(WriteSetTest, ReplacesPlainFilesByLinks) {
  TempDir dir;
  dir.Write("svid.pem", "old");
  ASSERT_TRUE(WriteSet(dir.path(), {{"svid.pem", "new"}}).ok());
  EXPECT_EQ(Read(dir.Path("svid.pem")), "new");
}

// The attack: a link planted under the name that will be written.
TEST(WriteSetTest, ReplacesPlantedLinksInsteadOfFollowingThem) {
  TempDir dir;
  TempDir elsewhere;
  const std::string victim = elsewhere.Write("victim", "untouched");
  ASSERT_EQ(symlink(victim.c_str(), (dir.Path("svid.key")).c_str()), 0);
  ASSERT_EQ(symlink(elsewhere.path().c_str(), (dir.Path(".current")).c_str()), 0);
  ASSERT_TRUE(WriteSet(dir.path(), {{"svid.key", "secret", 0600}}).ok());
  EXPECT_EQ(Read(victim), "untouched");
  EXPECT_FALSE(std::filesystem::exists(elsewhere.Path("svid.key")));
  EXPECT_EQ(Read(dir.Path("svid.key")), "secret");
}

TEST(WriteSetTest, LeavesTheOldSetWhenTheNewOneCannotBeWritten) {
  TempDir dir;
  ASSERT_TRUE(WriteSet(dir.path(), {{"svid.pem", "old"}, {"svid.key", "old"}}).ok());
  const Status failed = WriteSet(dir.path(), {{"svid.pem", "new"}, {"no/such/name", "new"}});
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(Read(dir.Path("svid.pem")), "old");
  EXPECT_EQ(Read(dir.Path("svid.key")), "old");
  EXPECT_EQ(SetsIn(dir), 1u);
}

TEST(WriteSetTest, TwoWritersDoNotMix) {
  TempDir dir;
  UniqueFd other(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(flock(other.get(), LOCK_EX), 0);
  EXPECT_EQ(WriteSet(dir.path(), {{"svid.pem", "x"}}).code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace lanyard
