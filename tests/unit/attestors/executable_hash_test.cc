#include "attestors/executable_hash.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sched.h>

#include <atomic>
#include <future>

#include "attestors/executable_read.h"
#include "attestors/mount_owner.h"
#include "tests/support/loop_driver.h"
#include "tests/unit/attestors/test_process.h"

namespace lanyard {
namespace {

class ExecutableHasherTest : public testing::Test {
 protected:
  struct Asked {
    std::shared_ptr<const ProcDir> proc;
    Executable executable;
    std::unique_ptr<ExecutableHasher::Ticket> ticket;
    std::optional<Result<ExecutableHash>> answer;
  };
  std::unique_ptr<Asked> Ask(const TestProcess& process, uid_t uid = 0) {
    auto asked = std::make_unique<Asked>();
    Result<ProcDir> proc = ProcDir::Open(process.pid());
    EXPECT_TRUE(proc.ok()) << proc.status();
    asked->proc = std::make_shared<const ProcDir>(*std::move(proc));
    const Result<Executable> executable = ReadExecutable(*asked->proc);
    EXPECT_TRUE(executable.ok()) << executable.status();
    asked->executable = *executable;
    asked->ticket = hasher_.Hash(asked->proc, *executable, uid, *mounts_.Current(),
                                 [raw = asked.get()](Result<ExecutableHash> hash) { raw->answer = std::move(hash); });
    EXPECT_FALSE(asked->answer.has_value());
    return asked;
  }
  ExecutableHash Wait(Asked& asked) {
    EXPECT_TRUE(RunUntil(loop_, [&] { return asked.answer.has_value(); }));
    if (!asked.answer || !asked.answer->ok()) {
      ADD_FAILURE() << (asked.answer ? asked.answer->status().ToString() : "no answer");
      return std::nullopt;
    }
    return **asked.answer;
  }

  EventLoop loop_;
  OwnMounts mounts_;
  BlockingJobs jobs_{loop_, {.total = 3, .per_owner = 2}};
  ExecutableHasher hasher_{jobs_, {.cache_entries = 2}};
  TestDirectory directory_;
};

TEST_F(ExecutableHasherTest, AgreesWithCoreutils) {
  const std::string path = directory_.CopyOfSleep("program");
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  auto asked = Ask(*process);
  EXPECT_EQ(Wait(*asked), ExecutableHash(Sha256Sum(path)));
}

TEST_F(ExecutableHasherTest, HashesADeletedProgramAndNotWhatTookItsName) {
  const std::string path = directory_.CopyOfSleep("program");
  const std::string expected = Sha256Sum(path);
  std::unique_ptr<TestProcess> process(TestProcess::Execute(path, 0));
  std::filesystem::remove(path);
  std::ofstream(path) << "another file of this name";
  auto asked = Ask(*process);
  EXPECT_EQ(Wait(*asked), ExecutableHash(expected));
}

TEST_F(ExecutableHasherTest, DoesNotRememberAFileThatChangedAMomentAgo) {
  std::unique_ptr<TestProcess> process(TestProcess::Execute(directory_.CopyOfSleep("program"), 0));
  auto asked = Ask(*process);
  ASSERT_TRUE(Wait(*asked).has_value());
  EXPECT_EQ(hasher_.Cached(asked->executable.file), nullptr);
}

TEST_F(ExecutableHasherTest, ReadsASettledProgramOnceForAllWhoAsk) {
  std::unique_ptr<TestProcess> one(TestProcess::Execute("/bin/sleep", 0)), two(TestProcess::Execute("/bin/sleep", 0));
  auto first = Ask(*one), second = Ask(*two);
  if (first->executable.file.device_major == 0)
    GTEST_SKIP() << "programs are on an anonymous device here, which is never cached";
  EXPECT_EQ(Wait(*first), Wait(*second));
  EXPECT_EQ(hasher_.files_hashed(), 1u);
  ASSERT_NE(hasher_.Cached(first->executable.file), nullptr);
  EXPECT_EQ(*hasher_.Cached(first->executable.file), Sha256Sum("/bin/sleep"));
  FileVersion changed = first->executable.file;
  changed.ctime_ns += 1;
  EXPECT_EQ(hasher_.Cached(changed), nullptr);
}

TEST_F(ExecutableHasherTest, AnotherUidDoesNotWaitBehindTheOneThatAskedFirst) {
  std::promise<void> release;
  std::shared_future<void> gate = release.get_future().share();
  std::vector<std::unique_ptr<BlockingJobs::Ticket>> hanging;
  for (int i = 0; i < 2; ++i)
    hanging.push_back(jobs_.Submit(
        kNobody, [gate] { gate.wait(); }, [] {}));
  std::unique_ptr<TestProcess> process(TestProcess::Execute(directory_.CopyOfSleep("program"), 0));
  auto blocked = Ask(*process, kNobody);
  auto other = Ask(*process, 0);
  EXPECT_TRUE(Wait(*other).has_value());
  EXPECT_FALSE(blocked->answer.has_value());
  release.set_value();
  EXPECT_TRUE(Wait(*blocked).has_value());
}

TEST_F(ExecutableHasherTest, OneWhoExitsDoesNotFailTheOthersOfItsFile) {
  const std::string path = directory_.CopyOfSleep("program");
  std::unique_ptr<TestProcess> one(TestProcess::Execute(path, 0)), two(TestProcess::Execute(path, 0));
  std::promise<void> release;
  std::shared_future<void> gate = release.get_future().share();
  std::vector<std::unique_ptr<BlockingJobs::Ticket>> hanging;
  for (int i = 0; i < 2; ++i)
    hanging.push_back(jobs_.Submit(
        0, [gate] { gate.wait(); }, [] {}));
  auto first = Ask(*one), second = Ask(*two);
  one->Stop();
  release.set_value();
  EXPECT_TRUE(Wait(*second).has_value());
  ASSERT_TRUE(first->answer.has_value());
  EXPECT_FALSE(first->answer->ok());
}

TEST_F(ExecutableHasherTest, RefusesTheFileOfAProcessThatExecutedAnotherMeanwhile) {
  TestProcess process([] {}, [] { TestProcess::ExecuteSleep("/bin/sleep"); });
  std::promise<void> release;
  std::shared_future<void> gate = release.get_future().share();
  std::vector<std::unique_ptr<BlockingJobs::Ticket>> hanging;
  for (int i = 0; i < 2; ++i)
    hanging.push_back(jobs_.Submit(
        0, [gate] { gate.wait(); }, [] {}));
  auto asked = Ask(process);
  process.Continue();
  ASSERT_TRUE(process.WaitForExecutable("/bin/sleep"));
  release.set_value();
  ASSERT_TRUE(RunUntil(loop_, [&] { return asked->answer.has_value(); }));
  EXPECT_EQ(asked->answer->status().code(), StatusCode::kUnavailable) << asked->answer->status();
}

TEST_F(ExecutableHasherTest, LosingInterestCancelsTheReading) {
  std::unique_ptr<TestProcess> process(TestProcess::Execute(directory_.CopyOfSleep("program"), 0));
  auto asked = Ask(*process);
  asked->ticket.reset();
  ASSERT_TRUE(RunUntilIdle(loop_));
  EXPECT_FALSE(asked->answer.has_value());
}

class HashFileTest : public testing::Test {
 protected:
  HashFileTest() : path_(directory_.File("file")) {
    std::ofstream(path_) << std::string(300000, 'x');
    fd_ = UniqueFd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    before_ = *StatFile(fd_.get(), "", AT_EMPTY_PATH);
  }
  TestDirectory directory_;
  std::string path_;
  UniqueFd fd_;
  FileVersion before_;
  std::atomic<bool> cancelled_{false};
};

TEST_F(HashFileTest, AFileThatChangesWhileItIsReadIsAnError) {
  std::ofstream(path_, std::ios::app) << "y";
  EXPECT_EQ(HashFile(fd_.get(), before_, 1 << 20, cancelled_).status().code(), StatusCode::kUnavailable);
}

TEST_F(HashFileTest, AFileTooLargeIsAnError) {
  EXPECT_EQ(HashFile(fd_.get(), before_, 299999, cancelled_).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*HashFile(fd_.get(), before_, 300000, cancelled_), Sha256Sum(path_));
}

TEST_F(HashFileTest, StopsWhenNobodyWaits) {
  cancelled_ = true;
  EXPECT_EQ(HashFile(fd_.get(), before_, 1 << 20, cancelled_).status().code(), StatusCode::kCancelled);
}

// As where the node agent itself runs in a user namespace: NS_GET_USERNS is not permitted then.
TEST(OnlyRootMountsTest, AMountNamespaceOfAnOuterUserNamespaceIsNotOurs) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWUSER) != 0) _exit(2);
    const auto mounts = OwnMounts().Current();
    const Result<ProcDir> self = ProcDir::Open(getpid());
    if (!mounts.ok() || !self.ok()) _exit(3);
    const Result<bool> ours = OnlyRootMounts(*self, **mounts);
    _exit(ours.ok() && !*ours ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "user namespaces are not allowed here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(MayCacheTest, OnlySettledFilesOfLocalBlockDevices) {
  constexpr int64_t kSecond = 1'000'000'000;
  FileVersion file{
      .device_major = 8, .device_minor = 1, .inode = 5, .size = 9, .mtime_ns = 10 * kSecond, .ctime_ns = 100 * kSecond};
  EXPECT_TRUE(MayCache(file, EXT4_SUPER_MAGIC, 102 * kSecond));
  EXPECT_FALSE(
      MayCache(file, EXT4_SUPER_MAGIC, 102 * kSecond - 1));      // may change again within one tick of the file clock
  EXPECT_FALSE(MayCache(file, EXT4_SUPER_MAGIC, 50 * kSecond));  // from the future: the clock was set back
  for (const uint64_t magic :
       {uint64_t{0x65735546} /* FUSE */, uint64_t{NFS_SUPER_MAGIC}, uint64_t{OVERLAYFS_SUPER_MAGIC},
        uint64_t{TMPFS_MAGIC}, uint64_t{0xfe534d42} /* SMB2 */, uint64_t{0x7461636f} /* OCFS2 */}) {
    EXPECT_FALSE(MayCache(file, magic, 200 * kSecond)) << std::hex << magic;
  }
  file.device_major = 0;
  EXPECT_FALSE(MayCache(file, EXT4_SUPER_MAGIC, 200 * kSecond));
}

}  // namespace
}  // namespace lanyard
