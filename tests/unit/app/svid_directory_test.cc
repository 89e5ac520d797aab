#include "node_agent/app/svid_directory.h"

#include <gmock/gmock.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "node_agent/app/exec_child.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

// A directory of the test's own on a tmpfs.
class SvidDirectoryTest : public testing::Test {
 protected:
  SvidDirectoryTest() {
    struct statfs mount {};
    if (statfs("/dev/shm", &mount) != 0 || mount.f_type != TMPFS_MAGIC) return;
    std::string path = "/dev/shm/lanyard-test-XXXXXX";
    if (mkdtemp(path.data()) != nullptr) place_ = path;
  }
  ~SvidDirectoryTest() override {
    if (!place_.empty()) std::filesystem::remove_all(place_);
  }
  void SetUp() override {
    if (place_.empty()) GTEST_SKIP() << "/dev/shm is no tmpfs here";
  }
  size_t DirectoriesIn() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(place_), {}));
  }

  std::string place_;
};

TEST_F(SvidDirectoryTest, IsPrivateAndGoesWithItsOwner) {
  std::string path;
  {
    const SvidDirectory directory = SvidDirectory::Make({place_}).value();
    path = directory.path();
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700u);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(SvidDirectoryTest, ADiskIsRefusedAndTheNextPlaceTaken) {
  const Status refused = SvidDirectory::Make({"/proc", "relative", "/nonexistent"}).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(refused)),
              testing::AllOf(HasSubstr("/proc: not a tmpfs"), HasSubstr("relative: not an absolute path"),
                             HasSubstr("/nonexistent: open it"), HasSubstr("XDG_RUNTIME_DIR")));
  EXPECT_EQ(std::filesystem::path(SvidDirectory::Make({"/proc", place_}).value().path()).parent_path(), place_);
}

// The attack: somebody who may rename in the place puts a directory of his own there.
TEST_F(SvidDirectoryTest, APlaceWhereOthersMayReplaceItIsRefused) {
  ASSERT_EQ(chmod(place_.c_str(), 0777), 0);
  EXPECT_THAT(std::string(Message(SvidDirectory::Make({place_}).status())), HasSubstr("others may replace"));
  ASSERT_EQ(chmod(place_.c_str(), 01777), 0);
  EXPECT_TRUE(SvidDirectory::Make({place_}).ok());
  if (geteuid() != 0) return;
  ASSERT_EQ(chmod(place_.c_str(), 0700), 0);
  ASSERT_EQ(chown(place_.c_str(), 65531, 0), 0);
  EXPECT_THAT(std::string(Message(SvidDirectory::Make({place_}).status())), HasSubstr("belongs to uid 65531"));
}

TEST_F(SvidDirectoryTest, ClearTakesEveryFileAndWriteBringsThemBack) {
  SvidDirectory directory = SvidDirectory::Make({place_}).value();
  for (const char* text : {"1", "2"}) ASSERT_TRUE(directory.Write({{"svid.pem", text}, {"svid.key", text, 0600}}).ok());
  ASSERT_TRUE(directory.Clear().ok());
  ASSERT_TRUE(directory.Clear().ok());
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
    left.push_back(entry.path().filename());
  EXPECT_THAT(left, testing::ElementsAre(".alive"));
  ASSERT_TRUE(directory.Write({{"svid.pem", "3"}}).ok());
  EXPECT_TRUE(std::filesystem::exists(directory.path() + "/svid.pem"));
}

TEST_F(SvidDirectoryTest, WhatNobodyKeepsAliveIsRemovedByTheNextAndNothingElse) {
  const SvidDirectory alive = SvidDirectory::Make({place_}).value();
  const std::string abandoned = place_ + "/lanyard-exec-abandoned";
  std::filesystem::create_directories(abandoned + "/.set-1");
  std::ofstream(abandoned + "/.alive") << "";
  std::ofstream(abandoned + "/.set-1/svid.key") << "secret";
  std::filesystem::create_directory(place_ + "/lanyard-exec-beginning");  // has no .alive yet
  std::filesystem::create_directory(place_ + "/somebody-elses");
  std::ofstream(place_ + "/somebody-elses/.alive") << "";
  std::filesystem::create_symlink("somebody-elses", place_ + "/lanyard-exec-link");
  const SvidDirectory next = SvidDirectory::Make({place_}).value();
  EXPECT_FALSE(std::filesystem::exists(abandoned));
  EXPECT_TRUE(std::filesystem::exists(alive.path()));
  EXPECT_TRUE(std::filesystem::exists(place_ + "/lanyard-exec-beginning"));
  EXPECT_TRUE(std::filesystem::exists(place_ + "/somebody-elses/.alive"));
  EXPECT_EQ(DirectoriesIn(), 5u);
}

TEST(ParseSignalTest, TakesNamesAndNumbers) {
  EXPECT_EQ(ParseSignal("HUP").value(), SIGHUP);
  EXPECT_EQ(ParseSignal("SIGUSR1").value(), SIGUSR1);
  EXPECT_EQ(ParseSignal("term").value(), SIGTERM);
  EXPECT_EQ(ParseSignal("10").value(), 10);
  for (const char* bad : {"", "SIG", "NOPE", "0", "-1", "65", "1x", "SIG1", "99999999999"})
    EXPECT_EQ(ParseSignal(bad).status().code(), StatusCode::kInvalidArgument) << bad;
}

}  // namespace
}  // namespace lanyard
