// Real processes for tests: forked, set up as told, stopped and reaped by pid when the test ends.
//
// The child runs only what is safe after fork() in a program with threads: system calls on memory prepared before.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "node_agent/base/process.h"

namespace lanyard {

inline constexpr uid_t kNobody = 12345;  // a uid that nobody has

// In the child: from root to `uid` for good.
inline void Become(uid_t uid) {
  if (setgroups(0, nullptr) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) _exit(71);
}

class TestProcess {
 public:
  // `setup` runs in the child; the constructor returns when it has. Then the child waits for Continue(), runs `then`
  // and waits to be stopped.
  explicit TestProcess(
      const std::function<void()>& setup, const std::function<void()>& then = [] {}) {
    int ready[2], proceed[2];
    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(proceed, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      char byte = 'r';
      setup();
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (write(ready[1], &byte, 1) != 1 || read(proceed[0], &byte, 1) != 1) _exit(72);
      then();
      while (true) pause();
    }
    close(ready[1]);
    close(proceed[0]);
    proceed_ = UniqueFd(proceed[1]);
    char byte;
    ready_ = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
  }
  TestProcess(const TestProcess&) = delete;
  ~TestProcess() { Stop(); }

  // Becomes another program at once. `argv` needs argv[0] only.
  static TestProcess* Execute(const std::string& path, uid_t uid) {
    auto* process = new TestProcess(
        [uid] {
          if (uid != 0) Become(uid);
        },
        [path] { ExecuteSleep(path); });
    process->Continue();
    process->WaitForExecutable(path);
    return process;
  }

  static void ExecuteSleep(const std::string& path) {
    execl(path.c_str(), "sleep", "600", static_cast<char*>(nullptr));
    _exit(73);
  }

  bool ready() const { return ready_; }  // the set-up came to its end
  pid_t pid() const { return pid_; }

  void Continue() {
    if (write(proceed_.get(), "c", 1) != 1) std::abort();
  }

  // Until /proc/PID/exe names `path`, as the kernel writes it.
  bool WaitForExecutable(const std::string& path) const {
    const std::string real = std::filesystem::exists(path) ? std::filesystem::canonical(path).string() : path;
    return WaitFor([&] {
      std::error_code error;
      return std::filesystem::read_symlink("/proc/" + std::to_string(pid_) + "/exe", error) == real;
    });
  }

  template <class Predicate>
  static bool WaitFor(Predicate done) {
    for (int i = 0; i < 2000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // a process has no clock of ours to wait on
    }
    return false;
  }

  void Stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  PeerProcess Peer(uid_t uid) const {
    auto process = ProcessRef::Open(pid_);
    EXPECT_TRUE(process.ok()) << process.status();
    return {process.ok() ? *process : nullptr, uid, uid};
  }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
  UniqueFd proceed_;
};

// A directory that every uid may enter, removed with its contents.
class TestDirectory {
 public:
  TestDirectory() {
    char name[] = "/tmp/lanyard-attestors-XXXXXX";
    if (mkdtemp(name) == nullptr || chmod(name, 0755) != 0) std::abort();
    path_ = name;
  }
  ~TestDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  // A copy of a program that sleeps, executable by everybody.
  std::string CopyOfSleep(const std::string& name) const {
    std::filesystem::copy_file(std::filesystem::canonical("/bin/sleep"), File(name));
    chmod(File(name).c_str(), 0755);
    return File(name);
  }

 private:
  std::string path_;
};

// The hash that coreutils computes: sha256sum FILE
inline std::string Sha256Sum(const std::string& path) {
  FILE* pipe = popen(("sha256sum " + path).c_str(), "r");
  char hex[65] = {};
  const bool good = pipe != nullptr && fread(hex, 1, 64, pipe) == 64;
  if (pipe != nullptr) pclose(pipe);
  return good ? hex : "";
}

}  // namespace lanyard

#define LANYARD_NEEDS_ROOT() \
  if (geteuid() != 0) GTEST_SKIP() << "needs root to start processes under other uids"
