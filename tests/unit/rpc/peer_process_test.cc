#include "node_agent/rpc/peer_process.h"

#include <sched.h>
#include <sys/wait.h>

#include "tests/support/no_descriptors.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

// On a kernel without SO_PEERPIDFD (or one made to look like it) the pidfd is opened by number.
PidfdSource ExpectedSource() {
  const char* forced = std::getenv("LANYARD_TEST_PIDFD");
  return forced != nullptr && std::string_view(forced) == "open" ? PidfdSource::kOpen : PidfdSource::kPeer;
}

class PeerProcessTest : public testing::Test {
 protected:
  PeerProcessTest() : socket_(*PeerSocket::Bind({.path = path()})) {}
  std::string path() const { return dir_.path() + "/s"; }
  UniqueFd Accept() {
    pollfd waiting{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
    poll(&waiting, 1, 10000);
    return UniqueFd(accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  TempDir dir_;
  PeerSocket socket_;
  PeerProcesses processes_;
  uid_t uid_ = 0;
};

TEST_F(PeerProcessTest, KnowsPidUidGidAndHoldsAPidfd) {
  UniqueFd client = ConnectTo(path());
  UniqueFd accepted = Accept();
  Result<PeerProcess> peer = processes_.Identify(accepted.get(), uid_);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->process->pid(), getpid());
  EXPECT_EQ(peer->uid, geteuid());
  EXPECT_EQ(peer->gid, getegid());
  EXPECT_EQ(peer->process->source(), ExpectedSource());
  EXPECT_TRUE(peer->process->StillRunning());
}

TEST_F(PeerProcessTest, ConnectionsOfOneProcessShareOnePidfd) {
  UniqueFd one = ConnectTo(path());
  UniqueFd two = ConnectTo(path());
  UniqueFd accepted_one = Accept();
  UniqueFd accepted_two = Accept();
  Result<PeerProcess> first = processes_.Identify(accepted_one.get(), uid_);
  Result<PeerProcess> second = processes_.Identify(accepted_two.get(), uid_);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->process, second->process);
}

TEST_F(PeerProcessTest, RefusesAPeerThatHasExitedAndWasReaped) {
  ASSERT_EQ(std::system((std::string(LANYARD_RAW_CLIENT) + " exit " + path()).c_str()), 0);
  UniqueFd accepted = Accept();
  EXPECT_EQ(processes_.Identify(accepted.get(), uid_).status().code(), StatusCode::kNotFound);
}

TEST_F(PeerProcessTest, WhatTheKernelGivesDoesNotDependOnFreeDescriptors) {
  const bool gives = KernelGivesPeerPidfds();
  EXPECT_EQ(gives, ExpectedSource() == PidfdSource::kPeer);
  const bool still_gives = [] {
    const NoDescriptors none;
    return KernelGivesPeerPidfds();
  }();
  EXPECT_EQ(still_gives, gives);
}

TEST_F(PeerProcessTest, RefusesPeersWithoutANumberHere) {
  EXPECT_EQ(CheckPeerCredentials(0, 1000, 65534).code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(CheckPeerCredentials(17, 65534, 65534).code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(CheckPeerCredentials(17, 1000, 65534).ok());
  EXPECT_TRUE(CheckPeerCredentials(17, 0, 65534).ok());
}

// The agent in a pid namespace of its own, the peer outside: the kernel shows pid 0.
TEST_F(PeerProcessTest, RefusesAPeerFromAPidNamespaceItCannotSee) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to make a pid namespace";
  UniqueFd client = ConnectTo(path());
  const pid_t outer = fork();
  if (outer == 0) {
    if (unshare(CLONE_NEWPID) != 0) _exit(77);
    const pid_t inner = fork();
    if (inner == 0) {
      UniqueFd accepted = Accept();
      uid_t uid = 0;
      const Status status = PeerProcesses().Identify(accepted.get(), uid).status();
      _exit(status.code() == StatusCode::kPermissionDenied &&
                    Message(status).find("pid namespace") != std::string_view::npos
                ? 0
                : 1);
    }
    int status = 0;
    waitpid(inner, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
  }
  int status = 0;
  waitpid(outer, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this environment allows no pid namespaces";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace lanyard
