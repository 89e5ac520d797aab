#include "node_agent/rpc/peer_socket.h"

#include <sys/syscall.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>
#include <utility>

#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 ? found.st_mode & 07777 : static_cast<mode_t>(-1);
}

// Bound, but nobody listens on it any more.
void LeaveStaleSocket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
}

// What somebody else does at the worst moment, once: this program's bind and listen, at the end of this file, run it.
struct WorstMoments {
  std::function<void()> after_bind, after_listen;
};
WorstMoments& TheWorstMoments() {
  static WorstMoments moments;
  return moments;
}

class PeerSocketTest : public testing::Test {
 protected:
  std::string path() const { return dir_.path() + "/agent.sock"; }
  Status BindError(const std::string& path) { return PeerSocket::Bind({.path = path}).status(); }

  // The name under which the socket is made.
  std::string temporary() const { return fmt::format("{}/.new-{}", dir_.path(), getpid()); }
  std::string MakeSecret() const {
    const std::string secret = dir_.path() + "/secret";
    std::ofstream(secret) << "precious";
    chmod(secret.c_str(), 0600);
    return secret;
  }
  void ExpectNothingServedBecauseSomebodyElseWritesHere(const Status& status) const {
    EXPECT_NE(Message(status).find("somebody else writes directory " + dir_.path()), std::string_view::npos) << status;
    EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(path())));
  }
  TempDir dir_;
};

TEST_F(PeerSocketTest, RefusesAPathLongerThanTheKernelAllows) {
  const std::string too_long = dir_.path() + "/" + std::string(108 - dir_.path().size() - 1, 'x');
  const Status status = BindError(too_long);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(Message(status).find("the kernel allows 107"), std::string_view::npos) << status;
}

TEST_F(PeerSocketTest, BindsThePathOfExactly107Bytes) {
  const std::string directory = dir_.path() + "/" + std::string(107 - dir_.path().size() - 1 - 2, 'd');
  auto socket = PeerSocket::Bind({.path = directory + "/s"});
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(ConnectTo(directory + "/s"));
}

TEST_F(PeerSocketTest, RefusesAbstractAndRelativePaths) {
  EXPECT_EQ(BindError("@lanyard").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(BindError(std::string("\0lanyard", 8)).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(BindError("agent.sock").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(BindError("").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(BindError(dir_.path() + "/").code(), StatusCode::kInvalidArgument);
}

TEST_F(PeerSocketTest, NamesTheProcessThatAlreadyListensThere) {
  auto first = PeerSocket::Bind({.path = path()});
  ASSERT_TRUE(first.ok());
  const Status status = BindError(path());
  EXPECT_EQ(status.code(), StatusCode::kAlreadyExists);
  EXPECT_NE(Message(status).find(fmt::format("process {} listens", getpid())), std::string_view::npos) << status;
  EXPECT_TRUE(ConnectTo(path())) << "the first one still serves";
}

TEST_F(PeerSocketTest, TakesThePlaceOfASocketThatNobodyListensOn) {
  LeaveStaleSocket(path());
  ASSERT_FALSE(ConnectTo(path()));
  auto socket = PeerSocket::Bind({.path = path()});
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(ConnectTo(path()));
}

TEST_F(PeerSocketTest, LeavesAFileThatIsNoSocketAlone) {
  std::ofstream(path()) << "precious";
  EXPECT_EQ(BindError(path()).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(std::filesystem::file_size(path()), 8u);
  std::filesystem::remove(path());
  std::filesystem::create_symlink("/etc/passwd", path());
  EXPECT_EQ(BindError(path()).code(), StatusCode::kAlreadyExists);
}

TEST_F(PeerSocketTest, RefusesADirectoryThatEverybodyMayWrite) {
  chmod(dir_.path().c_str(), 0777);
  EXPECT_EQ(BindError(path()).code(), StatusCode::kInvalidArgument);
  chmod(dir_.path().c_str(), 01777);
  EXPECT_TRUE(BindError(path()).ok());
}

TEST_F(PeerSocketTest, MakesTheDirectoryWithItsModeWhateverTheUmask) {
  const mode_t before = umask(0077);
  auto open_to_all = PeerSocket::Bind({.path = dir_.path() + "/a/s", .mode = 0777, .directory_mode = 0755});
  auto closed = PeerSocket::Bind({.path = dir_.path() + "/b/s", .mode = 0600, .directory_mode = 0700});
  umask(before);
  ASSERT_TRUE(open_to_all.ok() && closed.ok());
  EXPECT_EQ(ModeOf(dir_.path() + "/a"), 0755u);
  EXPECT_EQ(ModeOf(dir_.path() + "/a/s"), 0777u);
  EXPECT_EQ(ModeOf(dir_.path() + "/b"), 0700u);
  EXPECT_EQ(ModeOf(dir_.path() + "/b/s"), 0600u);
}

TEST_F(PeerSocketTest, IsNeverSeenWithAModeThatLetsMoreIn) {
  const mode_t before = umask(0);  // the most careless surroundings
  std::atomic<bool> stop{false};
  std::atomic<int> seen{0}, wrong{0};
  std::thread observer([&] {
    while (!stop) {
      std::error_code ignored;
      for (const auto& entry : std::filesystem::directory_iterator(dir_.path(), ignored)) {
        const mode_t mode = ModeOf(entry.path());
        if (mode == static_cast<mode_t>(-1)) continue;
        ++seen;
        if (mode != 0600 && !(mode == 0 && entry.path().filename() != "agent.sock")) ++wrong;
      }
    }
  });
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(PeerSocket::Bind({.path = path(), .mode = 0600}).ok());
  stop = true;
  observer.join();
  umask(before);
  EXPECT_GT(seen, 0);
  EXPECT_EQ(wrong, 0);
}

TEST_F(PeerSocketTest, RemovesItsNameAtTheEndButNotASuccessors) {
  auto first = PeerSocket::Bind({.path = path()});
  ASSERT_TRUE(first.ok());
  std::filesystem::rename(path(), path() + ".moved");
  auto second = PeerSocket::Bind({.path = path()});
  ASSERT_TRUE(second.ok());
  first->Close();
  EXPECT_TRUE(ConnectTo(path()));
  second->Close();
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(PeerSocketTest, DoesNotFollowASymlinkThatLiesWhereTheSocketIsMade) {
  const std::string secret = MakeSecret();
  std::filesystem::create_symlink(secret, temporary());
  auto socket = PeerSocket::Bind({.path = path()});
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ(ModeOf(secret), 0600u);
  EXPECT_TRUE(ConnectTo(path()));
}

TEST_F(PeerSocketTest, DoesNotFollowASymlinkThatIsPutInThePlaceOfTheNewSocket) {
  const std::string secret = MakeSecret();
  TheWorstMoments().after_bind = [&] {
    std::filesystem::remove(temporary());
    std::filesystem::create_symlink(secret, temporary());
  };
  ExpectNothingServedBecauseSomebodyElseWritesHere(BindError(path()));
  EXPECT_EQ(ModeOf(secret), 0600u);
}

TEST_F(PeerSocketTest, DoesNotOpenAnotherSocketOfOursThatIsPutInThePlaceOfTheNewOne) {
  const std::string operators = dir_.path() + "/operators.sock";
  auto other = PeerSocket::Bind({.path = operators, .mode = 0600});
  ASSERT_TRUE(other.ok()) << other.status();
  const UniqueFd inode(open(operators.c_str(), O_PATH | O_CLOEXEC));
  TheWorstMoments().after_bind = [&] { std::filesystem::rename(operators, temporary()); };
  ExpectNothingServedBecauseSomebodyElseWritesHere(BindError(path()));
  struct stat found {};
  ASSERT_EQ(fstat(inode.get(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0600u);
}

TEST_F(PeerSocketTest, DoesNotServeASocketThatSomebodyGaveASecondName) {
  TheWorstMoments().after_bind = [&] { std::filesystem::create_hard_link(temporary(), dir_.path() + "/kept"); };
  ExpectNothingServedBecauseSomebodyElseWritesHere(BindError(path()));
}

TEST_F(PeerSocketTest, GivesItsPathToNothingThatIsPutInThePlaceOfTheNewSocketLater) {
  const std::string secret = MakeSecret();
  TheWorstMoments().after_listen = [&] {
    std::filesystem::remove(temporary());
    std::filesystem::create_symlink(secret, temporary());
  };
  ExpectNothingServedBecauseSomebodyElseWritesHere(BindError(path()));
}

}  // namespace
}  // namespace lanyard

// In place of the C library's for the whole program.
extern "C" int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  const auto bound = static_cast<int>(syscall(SYS_bind, fd, address, size));
  if (const auto then = std::exchange(lanyard::TheWorstMoments().after_bind, nullptr)) then();
  return bound;
}

extern "C" int listen(int fd, int backlog) noexcept {
  const auto listening = static_cast<int>(syscall(SYS_listen, fd, backlog));
  if (const auto then = std::exchange(lanyard::TheWorstMoments().after_listen, nullptr)) then();
  return listening;
}
