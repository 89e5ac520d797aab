#include "node_agent/base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node_agent/base/file.h"
#include "node_agent/base/process_exit_watcher.h"
#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

// A child that does nothing until it is killed, and is reaped at the end.
class Child {
 public:
  explicit Child(const char* name = "child") {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      prctl(PR_SET_NAME, name);
      if (write(ready[1], "x", 1) != 1) _exit(1);
      while (true) pause();
    }
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) abort();
    close(ready[0]);
    close(ready[1]);
  }
  ~Child() {
    Kill();
    Reap();
  }

  pid_t pid() const { return pid_; }
  void Kill() {
    if (!reaped_) kill(pid_, SIGKILL);
  }
  void Reap() {
    if (!reaped_) waitpid(pid_, nullptr, 0);
    reaped_ = true;
  }
  // Dead, but still a zombie.
  void KillAndWait() {
    Kill();
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

 private:
  pid_t pid_ = 0;
  bool reaped_ = false;
};

TEST(ProcessRefTest, KnowsAProcessWithAHostileName) {
  Child child("a) R 1 (b");
  auto process = ProcessRef::Open(child.pid());
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_TRUE((*process)->StillRunning());
  EXPECT_EQ((*process)->pid(), child.pid());
  EXPECT_EQ((*process)->source(), PidfdSource::kOpen);
  // It was started after us.
  EXPECT_GE((*process)->start_time(), ProcessRef::Open(getpid()).value()->start_time());
  EXPECT_EQ((*process)->ProcPath("exe"), fmt::format("/proc/{}/exe", child.pid()));
}

TEST(ProcessRefTest, SaysThatAProcessHasExitedEvenBeforeItIsReaped) {
  Child child;
  auto process = ProcessRef::Open(child.pid());
  ASSERT_TRUE(process.ok());
  child.KillAndWait();
  EXPECT_FALSE((*process)->StillRunning());
  EXPECT_TRUE(ReadFile((*process)->ProcPath("stat"), 4096).ok());  // /proc still has it: only the pidfd tells
  child.Reap();
  EXPECT_FALSE((*process)->StillRunning());
}

TEST(ProcessRefTest, RefusesAProcessThatIsGone) {
  Child child;
  child.KillAndWait();
  EXPECT_EQ(ProcessRef::Open(child.pid()).status().code(), StatusCode::kNotFound);
  child.Reap();
  EXPECT_EQ(ProcessRef::Open(child.pid()).status().code(), StatusCode::kNotFound);
}

class ProcessExitWatchTest : public testing::Test {
 protected:
  EventLoop loop_;
  Child child_;
  std::shared_ptr<const ProcessRef> process_ = ProcessRef::Open(child_.pid()).value();
};

TEST_F(ProcessExitWatchTest, CallsOnceWhenTheProcessExits) {
  int calls = 0;
  auto watch = WatchProcessExit(loop_, process_, [&] { ++calls; });
  ASSERT_TRUE(watch.ok()) << watch.status();
  loop_.RunOnce(0);
  EXPECT_EQ(calls, 0);
  child_.Kill();
  EXPECT_TRUE(RunUntil(loop_, [&] { return calls > 0; }));
  for (int i = 0; i < 3; ++i) loop_.RunOnce(0);
  EXPECT_EQ(calls, 1);
}

TEST_F(ProcessExitWatchTest, CallsWhenTheProcessHadExitedBefore) {
  child_.KillAndWait();
  bool called = false;
  auto watch = WatchProcessExit(loop_, process_, [&] { called = true; });
  ASSERT_TRUE(watch.ok());
  EXPECT_FALSE(called);
  EXPECT_TRUE(RunUntil(loop_, [&] { return called; }));
}

TEST_F(ProcessExitWatchTest, CallsNothingAfterItIsDestroyed) {
  auto watch = WatchProcessExit(loop_, process_, [] { FAIL() << "destroyed"; });
  ASSERT_TRUE(watch.ok());
  child_.KillAndWait();
  watch->reset();
  for (int i = 0; i < 3; ++i) loop_.RunOnce(0);
}

TEST_F(ProcessExitWatchTest, MayBeDestroyedByItsOwnCall) {
  std::unique_ptr<ProcessExitWatch> watch;
  bool called = false;
  watch = WatchProcessExit(loop_, process_, [&] {
            called = true;
            watch.reset();
          }).value();
  child_.Kill();
  EXPECT_TRUE(RunUntil(loop_, [&] { return called; }));
}

// Connections of one process share its pidfd, and each may want to know of its exit.
TEST_F(ProcessExitWatchTest, TwoWatchesOfOneProcessBothCall) {
  int calls = 0;
  auto first = WatchProcessExit(loop_, process_, [&] { ++calls; });
  auto second = WatchProcessExit(loop_, process_, [&] { ++calls; });
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  child_.Kill();
  EXPECT_TRUE(RunUntil(loop_, [&] { return calls == 2; }));
}

TEST_F(ProcessExitWatchTest, CanBeSetAgainAfterOneWasDestroyed) {
  WatchProcessExit(loop_, process_, [] { FAIL() << "destroyed"; }).value().reset();
  bool called = false;
  auto watch = WatchProcessExit(loop_, process_, [&] { called = true; });
  ASSERT_TRUE(watch.ok()) << watch.status();
  child_.Kill();
  EXPECT_TRUE(RunUntil(loop_, [&] { return called; }));
}

}  // namespace
}  // namespace lanyard
