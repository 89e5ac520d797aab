#include "node_agent/base/service_manager.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>

#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The side of systemd: a datagram socket named in NOTIFY_SOCKET.
class ServiceManagerTest : public testing::Test {
 protected:
  ServiceManagerTest() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const std::string path = dir_.Path("notify");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~ServiceManagerTest() override {
    for (const char* name :
         {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"})
      unsetenv(name);
  }

  std::unique_ptr<ServiceManager> Make() {
    auto manager = ServiceManager::FromEnvironment();
    EXPECT_TRUE(manager.ok()) << manager.status();
    return *std::move(manager);
  }
  std::vector<std::string> Told() {
    std::vector<std::string> messages;
    char bytes[4096];
    for (ssize_t got; (got = recv(fd_.get(), bytes, sizeof(bytes), 0)) >= 0;)
      messages.emplace_back(bytes, static_cast<size_t>(got));
    return messages;
  }

  TempDir dir_;
  UniqueFd fd_;
  FakeClock clock_;
};

TEST_F(ServiceManagerTest, TellsEachStepOfTheServicesLife) {
  auto manager = Make();
  manager->Ready("serving example.org");
  manager->SayStatus("12 entries");
  manager->Reloading();
  manager->Ready();
  manager->Stopping();
  EXPECT_THAT(Told(),
              ElementsAre("READY=1\nSTATUS=serving example.org", "STATUS=12 entries",
                          testing::MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+"), "READY=1", "STOPPING=1"));
}

TEST_F(ServiceManagerTest, AStatusCannotCarryAnotherMessage) {
  Make()->SayStatus("a\nSTOPPING=1\r\nb");
  EXPECT_THAT(Told(), ElementsAre("STATUS=a STOPPING=1  b"));
}

TEST_F(ServiceManagerTest, SaysNothingWithoutAServiceManager) {
  unsetenv("NOTIFY_SOCKET");
  auto manager = Make();
  manager->Ready("x");
  manager->StartWatchdog(clock_);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_FALSE(manager->TakeSocket("workload"));
  EXPECT_TRUE(manager->CheckNames({}).ok());
}

TEST_F(ServiceManagerTest, AnEmptyAddressOfTheServiceManagerIsNone) {
  setenv("NOTIFY_SOCKET", "", 1);
  ::testing::internal::CaptureStderr();
  Make()->Ready("x");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(ServiceManagerTest, FeedsTheWatchdogAtHalfOfItsTime) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  auto manager = Make();
  EXPECT_EQ(manager->watchdog(), std::chrono::seconds(30));
  EXPECT_THAT(Told(), IsEmpty());
  manager->StartWatchdog(clock_);
  EXPECT_THAT(Told(), ElementsAre("WATCHDOG=1"));
  clock_.Advance(std::chrono::seconds(44));
  EXPECT_THAT(Told(), ElementsAre("WATCHDOG=1", "WATCHDOG=1"));
  manager.reset();
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(ServiceManagerTest, LeavesAWatchdogToTheProcessThatItIsFor) {
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  auto manager = Make();
  EXPECT_FALSE(manager->watchdog());
  manager->StartWatchdog(clock_);
  EXPECT_THAT(Told(), IsEmpty());
}

// Runs `body` in a child that was given two listening sockets as systemd gives them; 0 is success.
template <class Body>
int RunWithSockets(const std::string& names, Body body) {
  const pid_t child = fork();
  if (child == 0) {
    int fds[2];
    for (int& fd : fds) {
      fd = socket(AF_UNIX, SOCK_STREAM, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t));  // an abstract name that the kernel picks
      listen(fd, 1);
      fd = fcntl(fd, F_DUPFD, 100);
    }
    for (int i = 0; i < 2; ++i) {
      dup2(fds[i], 3 + i);
      close(fds[i]);
    }
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_FDNAMES", names.c_str(), 1);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

TEST_F(ServiceManagerTest, TakesInheritedSocketsByName) {
  EXPECT_EQ(RunWithSockets("admin:workload",
                           [] {
                             auto manager = ServiceManager::FromEnvironment();
                             if (!manager.ok()) return 1;
                             if (getenv("LISTEN_FDS") != nullptr || getenv("LISTEN_FDNAMES") != nullptr) return 2;
                             const auto workload = (*manager)->TakeSocket("workload");
                             if (!workload || workload->get() != 4 || (fcntl(4, F_GETFD) & FD_CLOEXEC) == 0) return 3;
                             if ((*manager)->TakeSocket("workload")) return 4;
                             if (!(*manager)->CheckNames({"admin", "workload"}).ok()) return 8;
                             const Status left = (*manager)->CheckNames({"workload"});
                             if (left.ok() || Message(left).find("\"admin\"") == std::string_view::npos) return 5;
                             const auto admin = (*manager)->TakeSocket("admin");
                             if (!admin || admin->get() != 3 || (fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) return 6;
                             return (*manager)->CheckNames({}).ok() ? 0 : 7;
                           }),
            0);
}

TEST_F(ServiceManagerTest, RefusesTwoSocketsOfOneName) {
  EXPECT_EQ(RunWithSockets(
                "lanyard.socket:lanyard.socket",
                [] {
                  const Status status = ServiceManager::FromEnvironment().status();
                  return Message(status).find("two sockets named \"lanyard.socket\"") != std::string_view::npos ? 0 : 1;
                }),
            0);
}

TEST_F(ServiceManagerTest, LeavesSocketsToTheProcessThatTheyAreFor) {
  EXPECT_EQ(RunWithSockets("workload:admin",
                           [] {
                             setenv("LISTEN_PID", "1", 1);
                             auto manager = ServiceManager::FromEnvironment();
                             return manager.ok() && !(*manager)->TakeSocket("workload") && fcntl(3, F_GETFD) >= 0 ? 0
                                                                                                                  : 1;
                           }),
            0);
}

TEST_F(ServiceManagerTest, RefusesSocketsThatAreNotThere) {
  EXPECT_EQ(RunWithSockets("workload:admin",
                           [] {
                             close(4);
                             return ServiceManager::FromEnvironment().ok() ? 1 : 0;
                           }),
            0);
}

}  // namespace
}  // namespace lanyard
