// A listening socket that a service manager keeps and one agent after the other adopts.
#include <sys/wait.h>

#include "node_agent/rpc/server.h"
#include "tests/unit/rpc/echo.pb.h"
#include "tests/unit/rpc/fixture.h"

namespace lanyard {
namespace {

class HandOverTest : public RpcTest {
 protected:
  // What systemd does: it binds and listens, and passes duplicates on.
  UniqueFd ListenAsManager(mode_t mode = 0777, int type = SOCK_STREAM) {
    UniqueFd fd(socket(AF_UNIX, type, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().c_str(), path().size() + 1);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(chmod(path().c_str(), mode), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(listen(fd.get(), 4096), 0);
    }
    return fd;
  }
  static UniqueFd Duplicate(const UniqueFd& fd) { return UniqueFd(dup(fd.get())); }
  std::string AdoptError(UniqueFd fd, std::string at, mode_t mode = 0777) {
    const Status status = PeerSocket::Adopt(std::move(fd), {.path = std::move(at), .mode = mode}).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    return std::string(Message(status));
  }
  std::unique_ptr<Listener> Adopt(const UniqueFd& fd, std::vector<UniqueFd>& got) {
    auto adopted = PeerSocket::Adopt(Duplicate(fd), {.path = path()});
    EXPECT_TRUE(adopted.ok()) << adopted.status();
    auto listener = MakeListener(loop_, clock_, resources_, accounts_, *std::move(adopted), {},
                                 [&got](UniqueFd connection) { got.push_back(std::move(connection)); });
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *std::move(listener);
  }

  AccountTable accounts_{clock_, kUnlimited};
};

TEST_F(HandOverTest, ServesClientsThatConnectedWhileNoAgentRan) {
  const UniqueFd manager = ListenAsManager();
  std::vector<UniqueFd> first_got, second_got;
  auto first = Adopt(manager, first_got);
  const UniqueFd early = ConnectTo(path());
  ASSERT_TRUE(RunUntil(loop_, [&] { return first_got.size() == 1; }));
  first->StopAccepting();
  std::vector<UniqueFd> between;
  for (int i = 0; i < 100; ++i) between.push_back(ConnectTo(path()));
  for (const UniqueFd& client : between) ASSERT_TRUE(client);
  loop_.RunOnce(0);
  EXPECT_EQ(first_got.size(), 1u);
  first.reset();

  auto second = Adopt(manager, second_got);
  EXPECT_TRUE(RunUntil(loop_, [&] { return second_got.size() == 100; }));
}

// The same with processes: the first one adopts, and exits without a word.
TEST_F(HandOverTest, ServesClientsAfterTheProcessThatAdoptedTheSocketHasExited) {
  const UniqueFd manager = ListenAsManager();
  const pid_t child = fork();
  if (child == 0) {
    auto adopted = PeerSocket::Adopt(Duplicate(manager), {.path = path()});
    adopted->Close();
    _exit(adopted.ok() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const UniqueFd waiting = ConnectTo(path());
  ASSERT_TRUE(waiting);
  std::vector<UniqueFd> got;
  auto second = Adopt(manager, got);
  EXPECT_TRUE(RunUntil(loop_, [&] { return got.size() == 1; }));
}

TEST_F(HandOverTest, TheServerAnswersCallsOnAnInheritedSocket) {
  const UniqueFd manager = ListenAsManager();
  auto server = RpcServer::Start(loop_, clock_, resources_, *engine_,
                                 {.socket = {.path = path(), .inherited = Duplicate(manager)}, .listener = {}}, {});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  test::Words request, response;
  EXPECT_EQ(Unary("/x/Y", request, response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(HandOverTest, LeavesTheNameToTheServiceManager) {
  const UniqueFd manager = ListenAsManager();
  {
    auto adopted = PeerSocket::Adopt(Duplicate(manager), {.path = path()});
    ASSERT_TRUE(adopted.ok());
    EXPECT_NE(fcntl(adopted->fd(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(fcntl(adopted->fd(), F_GETFL) & O_NONBLOCK, 0);
    adopted->Close();
  }
  EXPECT_TRUE(ConnectTo(path()));
}

TEST_F(HandOverTest, NamesBothPathsWhenTheyDiffer) {
  const UniqueFd manager = ListenAsManager();
  const std::string error = AdoptError(Duplicate(manager), dir_.path() + "/other.sock");
  EXPECT_NE(error.find(path()), std::string::npos) << error;
  EXPECT_NE(error.find(dir_.path() + "/other.sock"), std::string::npos) << error;
}

TEST_F(HandOverTest, RefusesAnAbstractOrUnnamedSocket) {
  UniqueFd abstract(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_EQ(bind(abstract.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
  ASSERT_EQ(listen(abstract.get(), 1), 0);
  EXPECT_NE(AdoptError(std::move(abstract), path()).find("listens on @"), std::string::npos);
}

TEST_F(HandOverTest, RefusesWhatIsNoListeningUnixStreamSocket) {
  EXPECT_NE(AdoptError(UniqueFd(open("/dev/null", O_RDONLY)), path()).find("no listening Unix stream socket"),
            std::string::npos);
  EXPECT_NE(AdoptError(UniqueFd(socket(AF_INET, SOCK_STREAM, 0)), path()).find("no listening"), std::string::npos);
  EXPECT_NE(AdoptError(UniqueFd(socket(AF_UNIX, SOCK_STREAM, 0)), path()).find("no listening"), std::string::npos);
  EXPECT_NE(AdoptError(ListenAsManager(0777, SOCK_DGRAM), path()).find("no listening"), std::string::npos);
  EXPECT_NE(AdoptError(UniqueFd(), path()).find("no listening"), std::string::npos);
}

TEST_F(HandOverTest, RefusesAModeThatLetsInMoreThanTheConfiguration) {
  const UniqueFd manager = ListenAsManager(0666);
  EXPECT_NE(AdoptError(Duplicate(manager), path(), 0600).find("SocketMode=0600"), std::string::npos);
  EXPECT_TRUE(PeerSocket::Adopt(Duplicate(manager), {.path = path(), .mode = 0777}).ok());
}

}  // namespace
}  // namespace lanyard
