#include "node_agent/rpc/listener.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstdio>

#include "tests/support/no_descriptors.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

// The listener with a test in gRPC's place: what is handed over stays open until the test closes it.
class ListenerTest : public testing::Test {
 protected:
  ListenerTest() : resources_(*PeerResources::Reserve()) {}
  std::string path() const { return dir_.path() + "/s"; }

  void Listen(ListenerOptions options = {}) {
    listener_ = *MakeListener(loop_, clock_, resources_, accounts_, *PeerSocket::Bind({.path = path()}),
                              std::move(options), [this](UniqueFd fd) {
                                entry_at_hand_over_ = listener_->Find(fd.get());
                                given_.push_back(std::move(fd));
                              });
  }
  void Turn() {
    for (int i = 0; i < 5; ++i) loop_.RunOnce(0);
  }

  TempDir dir_;
  EventLoop loop_;
  FakeClock clock_;
  PeerResources resources_;
  AccountTable accounts_{clock_, {}};
  std::unique_ptr<Listener> listener_;
  std::vector<UniqueFd> given_;
  ConnectionPtr entry_at_hand_over_;
};

TEST_F(ListenerTest, EntersAConnectionInTheTableBeforeHandingItOver) {
  Listen();
  UniqueFd client = ConnectTo(path());
  Turn();
  ASSERT_EQ(given_.size(), 1u);
  ASSERT_NE(entry_at_hand_over_, nullptr);
  EXPECT_EQ(entry_at_hand_over_->fd, given_[0].get());
  EXPECT_EQ(entry_at_hand_over_->peer.process->pid(), getpid());
  EXPECT_GE(given_[0].get(), resources_.fds.low());
}

TEST_F(ListenerTest, ForgetsAConnectionOnceItsFdIsClosedAndThenSleeps) {
  Listen();
  EXPECT_EQ(clock_.NextAlarm(), std::nullopt);
  UniqueFd client = ConnectTo(path());
  Turn();
  const int number = given_[0].get();
  clock_.Advance(seconds(2));
  EXPECT_NE(listener_->Find(number), nullptr);
  given_.clear();
  clock_.Advance(seconds(2));
  EXPECT_EQ(listener_->Find(number), nullptr);
  EXPECT_EQ(listener_->stats().open, 0u);
  EXPECT_EQ(clock_.NextAlarm(), std::nullopt);
}

TEST_F(ListenerTest, DoesNotTakeAnotherSocketOnTheSameNumberForTheConnection) {
  Listen();
  UniqueFd client = ConnectTo(path());
  Turn();
  const int number = given_[0].get();
  UniqueFd other(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(dup2(other.get(), number), number);
  clock_.Advance(seconds(2));
  EXPECT_EQ(listener_->Find(number), nullptr);
}

TEST_F(ListenerTest, EndsAConnectionWithoutACallAfterAMinuteAndKeepsOneWithACall) {
  Listen();
  UniqueFd silent = ConnectTo(path());
  UniqueFd busy = ConnectTo(path());
  Turn();
  ASSERT_EQ(given_.size(), 2u);
  listener_->Find(given_[1].get())->call_seen = true;
  clock_.Advance(seconds(59));
  EXPECT_FALSE(Ended(silent.get()));
  clock_.Advance(seconds(2));
  EXPECT_TRUE(Ended(silent.get()));
  EXPECT_FALSE(Ended(busy.get()));
  EXPECT_EQ(listener_->stats().ended_silent, 1u);
}

TEST_F(ListenerTest, EndsAConnectionWithTheProcessThatMadeItAlthoughAChildHoldsIt) {
  Listen();
  FILE* child = popen((std::string(LANYARD_RAW_CLIENT) + " leave-child " + path()).c_str(), "re");
  ASSERT_NE(child, nullptr);
  ASSERT_TRUE(RunUntil(loop_, [&] { return listener_->stats().ended_exit == 1; }));
  char line[64] = "";
  ASSERT_NE(fgets(line, sizeof(line), child), nullptr);
  EXPECT_STREQ(line, "ended\n");
  pclose(child);
}

TEST_F(ListenerTest, EndsAlsoTheConnectionsThatAreInLineWhenTheProcessThatMadeThemExits) {
  constexpr size_t kMany = 64;  // more than come out of the line before the exit is told
  Listen({.max_connections = 100});
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path().c_str(), path().size() + 1);
  std::vector<UniqueFd> clients(kMany);
  for (UniqueFd& client : clients) client.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const pid_t maker = fork();
  if (maker == 0) {
    for (const UniqueFd& client : clients) {
      if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) _exit(1);
    }
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(maker, &status, WUNTRACED), maker);
  ASSERT_TRUE(WIFSTOPPED(status));
  loop_.RunOnce(0);
  kill(maker, SIGKILL);
  waitpid(maker, nullptr, 0);
  EXPECT_GT(given_.size(), 0u);
  EXPECT_LE(given_.size(), kMany / 2);
  for (int i = 0; i < 5; ++i) Turn();
  for (const UniqueFd& client : clients) EXPECT_TRUE(Ended(client.get()));
}

TEST_F(ListenerTest, ClosesAtOnceWhatIsAboveTheLimitOfAUid) {
  accounts_.SetLimits({.connections = 3});
  Listen({.max_connections = 100});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(ConnectTo(path()));
  Turn();
  EXPECT_EQ(listener_->stats().open, 3u);
  EXPECT_EQ(listener_->stats().refused_limit, 2u);
  EXPECT_FALSE(Ended(clients[2].get()));
  EXPECT_TRUE(Ended(clients[3].get()));
  EXPECT_TRUE(Ended(clients[4].get()));
  given_.clear();  // those that have gone no longer count
  clock_.Advance(seconds(1));
  clients.push_back(ConnectTo(path()));
  Turn();
  EXPECT_EQ(listener_->stats().open, 1u);
}

TEST_F(ListenerTest, TwoCallersOfOneUidAreLimitedApartWhenTheirAccountsDiffer) {
  accounts_.SetLimits({.connections = 2});
  std::string cgroup = "/a";
  std::vector<std::string> refused;
  Listen({.max_connections = 100,
          .account_of =
              [&](const PeerProcess&) {
                return AccountName{"cgroup " + cgroup, "the other cgroups below /"};
              },
          .on_refused =
              [&](const PeerProcess& peer, const Account& account, const Status& why) {
                EXPECT_EQ(peer.process->pid(), getpid());
                EXPECT_EQ(why.code(), StatusCode::kUnavailable);
                refused.push_back(account.name.own);
              }});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(ConnectTo(path()));
  Turn();
  cgroup = "/b";
  clients.push_back(ConnectTo(path()));
  Turn();
  EXPECT_EQ(listener_->stats().open, 3u);
  EXPECT_TRUE(Ended(clients[2].get()));
  EXPECT_FALSE(Ended(clients[4].get()));
  EXPECT_EQ(refused, (std::vector<std::string>{"cgroup /a", "cgroup /a"}));
  EXPECT_EQ(listener_->Find(given_[2].get())->account->name.own, "cgroup /b");
}

TEST_F(ListenerTest, ConnectionsThatComeTooFastAreClosedAlthoughFewAreOpen) {
  accounts_.SetLimits({.connections = 2, .connections_per_second = 1});
  Listen({.max_connections = 100});
  for (int i = 0; i < 2; ++i) {
    UniqueFd client = ConnectTo(path());
    Turn();
    given_.clear();
    clock_.Advance(std::chrono::milliseconds(1));
  }
  UniqueFd fast = ConnectTo(path());
  Turn();
  EXPECT_TRUE(Ended(fast.get()));
  EXPECT_EQ(accounts_.refused()[static_cast<size_t>(CallerLimit::kConnectionRate)], 1u);
  clock_.Advance(seconds(1));
  UniqueFd later = ConnectTo(path());
  Turn();
  EXPECT_FALSE(Ended(later.get()));
}

TEST_F(ListenerTest, ClosesAtOnceWhatIsAboveTheLimitOfAll) {
  Listen({.max_connections = 2});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(ConnectTo(path()));
  Turn();
  EXPECT_EQ(listener_->stats().open, 2u);
  EXPECT_TRUE(Ended(clients[2].get()));
}

TEST_F(ListenerTest, AtTheLimitOfAllItLooksForConnectionsThatHaveGoneInTheWholeTable) {
  constexpr size_t kMost = 40;
  Listen({.max_connections = kMost});
  std::vector<UniqueFd> clients;
  const auto connect_one = [&] {
    clients.push_back(ConnectTo(path()));
    Turn();
    return !Ended(clients.back().get());
  };
  for (size_t i = 0; i < kMost; ++i) ASSERT_TRUE(connect_one());
  clock_.Advance(std::chrono::milliseconds(100));
  EXPECT_FALSE(connect_one()) << "nothing has gone, in the whole table";
  EXPECT_FALSE(connect_one()) << "a few were looked at, from the first on";
  given_.erase(given_.begin());
  clock_.Advance(std::chrono::milliseconds(100));
  EXPECT_TRUE(connect_one());
}

TEST_F(ListenerTest, ClosesWhatFindsNoFdLeftAndServesTheNext) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "UndefinedBehaviorSanitizer needs a descriptor to look at an object, and takes it for broken without one";
#endif
  Listen();
  UniqueFd client = ConnectTo(path());
  UniqueFd later;
  {
    const NoDescriptors none;
    Turn();
  }
  EXPECT_TRUE(Ended(client.get()));
  EXPECT_GE(listener_->stats().refused_full, 1u);
  later = ConnectTo(path());
  Turn();
  EXPECT_EQ(listener_->stats().open, 1u);
}

TEST_F(ListenerTest, RemembersThatAPeerWasNotAdmitted) {
  Listen({.admit = [](const PeerProcess&) { return Error(StatusCode::kPermissionDenied, "operators only"); }});
  UniqueFd client = ConnectTo(path());
  Turn();
  ASSERT_EQ(given_.size(), 1u);
  EXPECT_EQ(Message(listener_->Find(given_[0].get())->admission), "operators only");
  EXPECT_EQ(listener_->stats().refused_peer, 1u);
}

TEST_F(ListenerTest, NobodyConnectsOnceItHasStopped) {
  Listen();
  listener_->StopAccepting();
  EXPECT_FALSE(ConnectTo(path()));
  Turn();
}

}  // namespace
}  // namespace lanyard
