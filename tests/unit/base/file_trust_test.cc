#include "node_agent/base/file_trust.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "node_agent/base/file.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

constexpr uid_t kStranger = 4242;

Status Check(const std::string& path, FileSecrecy secrecy = FileSecrecy::kPublic) {
  return CheckTrustedFile(path, secrecy);
}

void ExpectDistrusted(const Status& status, const std::string& path, const std::string& remedy) {
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(Message(status)), testing::AllOf(testing::StartsWith(path + " "), HasSubstr(remedy)));
}

// Runs `body` in a mount namespace of its own. False when the machine does not allow one.
bool InMountNamespace(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(77);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
  return WEXITSTATUS(status) != 77;
}

bool MountReadOnly(const std::string& path) {
  return mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
         mount(nullptr, path.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
}

TEST(FileTrustTest, TrustsOurOwnFilesInOurOwnDirectories) {
  TempDir dir;
  dir.MakeDir("a/b");
  const std::string file = dir.Write("a/b/f", "text");
  EXPECT_TRUE(Check(file).ok()) << Check(file);
  EXPECT_EQ(ReadTrustedFile(file, 100, FileSecrecy::kPublic).value(), "text");
  EXPECT_TRUE(CheckTrustedDirectory(dir.Path("a/b")).ok());
}

TEST(FileTrustTest, RefusesAFileThatOthersCanWrite) {
  TempDir dir;
  for (const mode_t mode : {0664, 0646, 0666, 0777}) {
    const std::string file = dir.Write("f", "text", mode);
    ExpectDistrusted(Check(file), file, "chmod go-w " + file);
  }
}

TEST(FileTrustTest, RefusesADirectoryOnTheWayThatOthersCanWrite) {
  TempDir dir;
  dir.MakeDir("open", 0777);
  dir.MakeDir("open/mine", 0755);
  const std::string file = dir.Write("open/mine/f", "text");
  ExpectDistrusted(Check(file), dir.Path("open"), "chmod go-w " + dir.Path("open"));
  ExpectDistrusted(CheckTrustedDirectory(dir.Path("open/mine")), dir.Path("open"), "mode 0777");
}

TEST(FileTrustTest, AcceptsAStickyDirectoryOnTheWayButNotAsTheOneThatIsListed) {
  TempDir dir;
  dir.MakeDir("sticky", 01777);
  EXPECT_TRUE(Check(dir.Write("sticky/f", "text")).ok());
  ExpectDistrusted(CheckTrustedDirectory(dir.Path("sticky")), dir.Path("sticky"), "chmod go-w");
}

TEST(FileTrustTest, RefusesWhatBelongsToAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  TempDir dir;
  dir.MakeDir("a");
  const std::string file = dir.Write("a/f", "text");
  ASSERT_EQ(chown(file.c_str(), kStranger, 0), 0);
  ExpectDistrusted(Check(file), file, "chown root " + file);
  ASSERT_EQ(chown(file.c_str(), 0, 0), 0);
  ASSERT_EQ(chown(dir.Path("a").c_str(), kStranger, 0), 0);
  ExpectDistrusted(Check(file), dir.Path("a"), "owner 4242");
}

// In a sticky directory anybody can make a symlink to a trusted file: it would decide which trusted file is read.
TEST(FileTrustTest, RefusesASymlinkOfAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  TempDir dir;
  dir.MakeDir("sticky", 01777);
  dir.Write("f", "text");
  const std::string link = dir.Link("../f", "sticky/link");
  EXPECT_TRUE(Check(link).ok());
  ASSERT_EQ(lchown(link.c_str(), kStranger, 0), 0);
  ExpectDistrusted(Check(link), link, "chown -h root");
}

TEST(FileTrustTest, ChecksTheDirectoryThatASymlinkLeadsTo) {
  TempDir dir;
  dir.MakeDir("good");
  dir.MakeDir("open", 0777);
  dir.Write("open/f", "text");
  dir.Link("../open/f", "good/relative");
  dir.Link(dir.Path("open"), "good/absolute");
  ExpectDistrusted(Check(dir.Path("good/relative")), dir.Path("open"), "chmod go-w");
  ExpectDistrusted(Check(dir.Path("good/absolute/f")), dir.Path("open"), "chmod go-w");
}

TEST(FileTrustTest, ChecksTheDirectoryInWhichALinkLiesEvenWhenItsTargetIsGood) {
  TempDir dir;
  dir.MakeDir("open", 0777);
  dir.Write("f", "text");
  dir.Link("../f", "open/link");
  ExpectDistrusted(Check(dir.Path("open/link")), dir.Path("open"), "chmod go-w");
}

TEST(FileTrustTest, FollowsDotDotToTheRealParent) {
  TempDir dir;
  dir.MakeDir("a/b");
  dir.Write("a/f", "inside");
  dir.Write("f", "outside");
  dir.Link("a/b", "link");
  EXPECT_EQ(ReadTrustedFile(dir.Path("link/../f"), 100, FileSecrecy::kPublic).value(), "inside");
  EXPECT_EQ(ReadTrustedFile(dir.Path("a/../f"), 100, FileSecrecy::kPublic).value(), "outside");
}

TEST(FileTrustTest, EndsAtALoopOfSymlinks) {
  TempDir dir;
  dir.Link("b", "a");
  dir.Link("a", "b");
  EXPECT_FALSE(Check(dir.Path("a")).ok());
  dir.Link("self/x", "self");
  EXPECT_FALSE(Check(dir.Path("self")).ok());
}

TEST(FileTrustTest, KeepsSecretsFromOtherReaders) {
  TempDir dir;
  const std::string key = dir.Write("key", "secret", 0600);
  EXPECT_TRUE(Check(key, FileSecrecy::kSecret).ok());
  for (const mode_t mode : {0640, 0604, 0644}) {
    dir.Write("key", "secret", mode);
    ExpectDistrusted(Check(key, FileSecrecy::kSecret), key, "chmod go= " + key);
    EXPECT_TRUE(Check(key, FileSecrecy::kPublic).ok());
  }
}

// How Kubernetes mounts a ConfigMap and a Secret: mode 0777, read-only, files by way of the symlink ..data.
TEST(FileTrustTest, AcceptsEverythingOnAMountThatIsReadOnlyForUs) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can mount";
  TempDir dir;
  dir.MakeDir("volume", 0777);
  dir.MakeDir("volume/..2026_01_01", 0777);
  dir.Write("volume/..2026_01_01/f", "text", 0666);
  ASSERT_EQ(chown(dir.Path("volume/..2026_01_01/f").c_str(), kStranger, 0), 0);
  dir.Link("..2026_01_01", "volume/..data");
  dir.Link("..data/f", "volume/f");
  const std::string file = dir.Path("volume/f");
  EXPECT_FALSE(Check(file).ok());
  const bool could = InMountNamespace([&] {
    return MountReadOnly(dir.Path("volume")) && Check(file).ok() && Check(file, FileSecrecy::kSecret).ok() &&
           CheckTrustedDirectory(dir.Path("volume")).ok();
  });
  if (!could) GTEST_SKIP() << "no mount namespaces here";
}

TEST(FileTrustTest, AcceptsNothingMoreBecauseAnotherPartOfThePathIsReadOnly) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can mount";
  TempDir dir;
  dir.MakeDir("volume");
  dir.MakeDir("open", 0777);
  dir.Write("open/f", "text");
  dir.Link("../open/f", "volume/f");
  const bool could =
      InMountNamespace([&] { return MountReadOnly(dir.Path("volume")) && !Check(dir.Path("volume/f")).ok(); });
  if (!could) GTEST_SKIP() << "no mount namespaces here";
}

TEST(FileTrustTest, TellsWhatIsThereInsteadOfAFile) {
  TempDir dir;
  dir.MakeDir("d");
  dir.Write("f", "text");
  ASSERT_EQ(mkfifo(dir.Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(Check(dir.Path("nothing")).code(), StatusCode::kNotFound);
  EXPECT_EQ(Check(dir.Path("d")).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Check(dir.Path("pipe")).code(), StatusCode::kFailedPrecondition);  // and does not wait for a writer
  EXPECT_EQ(CheckTrustedDirectory(dir.Path("f")).code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(Check(dir.Path("f/x")).ok());
  EXPECT_FALSE(Check("").ok());
}

TEST(FileTrustTest, ASocketMayBeOpenToEverybodyButNotBelongToAnother) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  TempDir dir;
  const std::string path = dir.Path("socket");
  ASSERT_EQ(mknod(path.c_str(), S_IFSOCK | 0666, 0), 0);
  ASSERT_EQ(chmod(path.c_str(), 0666), 0);
  EXPECT_TRUE(OpenTrustedSocket(path).ok()) << OpenTrustedSocket(path).status();
  ASSERT_EQ(chown(path.c_str(), kStranger, 0), 0);
  ExpectDistrusted(OpenTrustedSocket(path).status(), path, "chown root " + path);
  EXPECT_EQ(OpenTrustedSocket(dir.Write("f", "text")).status().code(), StatusCode::kFailedPrecondition);
}

TEST(FileTrustTest, ReadsAtMostWhatIsAllowed) {
  TempDir dir;
  EXPECT_EQ(ReadTrustedFile(dir.Write("f", std::string(11, 'x')), 10, FileSecrecy::kPublic).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_TRUE(ReadTrustedFile(dir.Write("f", std::string(10, 'x')), 10, FileSecrecy::kPublic).ok());
}

TEST(FileTrustTest, ReadsASecretThatOthersCannotReadWhole) {
  TempDir dir;
  for (const size_t size : {size_t{0}, size_t{10}, size_t{4096}, size_t{9000}}) {
    const std::string text(size, 's');
    const Result<WipedString> secret = ReadTrustedSecret(dir.Write("f", text, 0600), 9000);
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_TRUE(*secret == std::string_view(text)) << size;
  }
  EXPECT_EQ(ReadTrustedSecret(dir.Write("f", std::string(9001, 's'), 0600), 9000).status().code(),
            StatusCode::kResourceExhausted);
  ExpectDistrusted(ReadTrustedSecret(dir.Write("f", "s", 0644), 9000).status(), dir.Path("f"), "chmod");
}

TEST(FileTrustTest, LeaksNoDescriptors) {
  TempDir dir;
  const std::string file = dir.Write("f", "text");
  const int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(before);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Check(file).ok());
    EXPECT_FALSE(Check(dir.Path("none/x")).ok());
  }
  const int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(after);
  EXPECT_EQ(before, after);
}

}  // namespace
}  // namespace lanyard
