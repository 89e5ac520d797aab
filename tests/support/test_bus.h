// A D-Bus message bus of a test's own (dbus-daemon), and a service on it that does what a real systemd cannot be made
// to do: keep silent, give wrong answers, change its mind, leave.
//
// What a real systemd answers is tested by tests/runtimes/systemd_test.py. Thread: the test's; the service works when
// Work() is called.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temp_dir.h"

namespace lanyard {

class TestBus {
 public:
  // `before` comes before the command: {"unshare", "--pid", "--fork"}.
  explicit TestBus(std::vector<std::string> before = {}) : before_(std::move(before)) { Start(); }
  TestBus(const TestBus&) = delete;
  ~TestBus() { Stop(); }

  std::string socket() const { return dir_.Path("bus"); }
  std::string address() const { return "unix:path=" + socket(); }

  void Start() {
    const std::string config = dir_.Write("bus.conf", "<busconfig><listen>" + address() +
                                                          "</listen><auth>EXTERNAL</auth><policy context=\"default\">"
                                                          "<allow user=\"*\"/><allow own=\"*\"/>"
                                                          "<allow send_destination=\"*\"/>"
                                                          "<allow receive_sender=\"*\"/></policy></busconfig>");
    std::vector<std::string> command = before_;
    command.insert(command.end(), {"dbus-daemon", "--nofork", "--print-address=1", "--config-file=" + config});
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(ready[1], STDOUT_FILENO);
      execvp(arguments[0], arguments.data());
      _exit(127);
    }
    close(ready[1]);
    char byte;
    up_ = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
  }
  void Stop() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    waitpid(std::exchange(pid_, -1), nullptr, 0);
    unlink(socket().c_str());
  }
  bool up() const { return up_; }

 private:
  TempDir dir_;
  const std::vector<std::string> before_;
  pid_t pid_ = -1;
  bool up_ = false;
};

class TestService {
 public:
  // Takes a message that was sent to it.
  using Handler = std::function<void(sd_bus_message*)>;

  TestService(const TestBus& bus, std::string name, Handler handler)
      : bus_(bus), name_(std::move(name)), handler_(std::move(handler)) {
    Come();
  }
  TestService(const TestService&) = delete;
  ~TestService() { Leave(); }

  void Come() {
    EXPECT_GE(sd_bus_new(&connection_), 0);
    EXPECT_GE(sd_bus_set_address(connection_, bus_.address().c_str()), 0);
    EXPECT_GE(sd_bus_set_bus_client(connection_, 1), 0);
    EXPECT_GE(sd_bus_start(connection_), 0);
    EXPECT_GE(sd_bus_request_name(connection_, name_.c_str(), 0), 0);
    sd_bus_add_filter(
        connection_, nullptr,
        [](sd_bus_message* message, void* self, sd_bus_error*) {
          if (sd_bus_message_is_method_call(message, nullptr, nullptr) == 0) return 0;
          static_cast<TestService*>(self)->handler_(message);
          return 1;
        },
        this);
  }
  void Leave() {
    if (connection_ != nullptr) sd_bus_flush_close_unref(std::exchange(connection_, nullptr));
  }
  // Always false, to stand in a condition that is waited for.
  bool Work() {
    while (connection_ != nullptr && sd_bus_process(connection_, nullptr) > 0) {
    }
    return false;
  }

 private:
  const TestBus& bus_;
  const std::string name_;
  const Handler handler_;
  sd_bus* connection_ = nullptr;
};

}  // namespace lanyard

#define LANYARD_NEEDS_BUS(bus) \
  if (!(bus).up()) GTEST_SKIP() << "needs dbus-daemon (deploy/packages.sh test)"
