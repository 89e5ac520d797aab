#include "node_agent/base/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A client that sends and reads as it likes.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fd_.reset();
  }
  int fd() const { return fd_.get(); }
  void Send(std::string_view bytes) { IGNORE_ERROR(send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), "test"); }

  // Takes what has come; true once the server has closed.
  bool Ended() {
    char bytes[4096];
    for (;;) {
      const ssize_t got = recv(fd_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got == 0) return true;
      if (got < 0) return errno != EAGAIN;
      got_.append(bytes, static_cast<size_t>(got));
    }
  }
  const std::string& got() const { return got_; }

 private:
  UniqueFd fd_;
  std::string got_;
};

class HttpServerTest : public testing::Test {
 protected:
  void Serve(HttpLimits limits = {}, HttpFilterFactory filters = nullptr) {
    HttpRoutes routes;
    routes["/metrics"] = [this] {
      EXPECT_TRUE(loop_.OnLoopThread());
      ++asked_;
      return HttpResponse{.status = status_, .content_type = "text/plain; version=0.0.4", .body = body_};
    };
    auto server = HttpServer::Start(loop_, {.ip = "127.0.0.1"}, std::move(routes), limits, std::move(filters));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // The whole answer to `request`.
  std::string Ask(std::string_view request) {
    Client client(server_->port());
    client.Send(request);
    EXPECT_TRUE(RunUntil(loop_, [&] { return client.Ended(); }));
    return client.got();
  }
  // Waits without running the loop: it hangs.
  static bool WaitWithoutLoop(Client& client) {
    for (int i = 0; i < 20000; ++i) {
      if (client.Ended()) return true;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
  }

  EventLoop loop_;
  std::string body_ = "lanyard_up 1\n";
  int status_ = 200;
  int asked_ = 0;
  std::unique_ptr<HttpServer> server_;
};

constexpr std::string_view kGet = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

TEST_F(HttpServerTest, AnswersWithWhatTheHandlerSaysAndCloses) {
  Serve();
  status_ = 503;
  const std::string answer = Ask(kGet);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 13\r\n"));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nlanyard_up 1\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Server:")));
}

// Says "ho" to the first byte, as in a handshake; each later byte is sent with its lowest bit turned over.
class TurningFilter : public HttpFilter {
 public:
  Status Receive(std::string_view wire, std::string& plain, std::string& reply) override {
    if (!std::exchange(greeted_, true)) {
      reply += "ho";
      if (wire.front() == '!') return Error(StatusCode::kInvalidArgument, "not like that");
      wire.remove_prefix(1);
    }
    for (const char byte : wire) plain.push_back(static_cast<char>(byte ^ 1));
    return OkStatus();
  }
  Status SendLast(std::string_view plain, std::string& wire) override {
    for (const char byte : plain) wire.push_back(static_cast<char>(byte ^ 1));
    return OkStatus();
  }

 private:
  bool greeted_ = false;
};

std::string Turned(std::string text) {
  for (char& byte : text) byte = static_cast<char>(byte ^ 1);
  return text;
}

TEST_F(HttpServerTest, AFilterStandsBetweenTheSocketAndHttp) {
  Serve({}, [] { return std::make_unique<TurningFilter>(); });
  const std::string answer = Ask("*" + Turned(std::string(kGet)));
  EXPECT_THAT(answer, StartsWith("ho"));
  EXPECT_THAT(Turned(answer.substr(2)), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(Turned(answer.substr(2)), EndsWith("lanyard_up 1\n"));
  EXPECT_THAT(Turned(Ask("*" + Turned("garbage\r\n\r\n"))).substr(2), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, AFilterThatReportsAnErrorEndsTheConnectionAfterItsLastWord) {
  Serve({}, [] { return std::make_unique<TurningFilter>(); });
  EXPECT_EQ(Ask("!" + Turned(std::string(kGet))), "ho");
  EXPECT_EQ(asked_, 0);
}

TEST_F(HttpServerTest, WithoutTheFilterThatItNeedsAConnectionIsClosed) {
  Serve({}, [] { return nullptr; });
  EXPECT_EQ(Ask(kGet), "");
  EXPECT_EQ(asked_, 0);
}

TEST_F(HttpServerTest, AnswersHeadWithoutABody) {
  Serve();
  const std::string answer = Ask("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 13\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(HttpServerTest, FindsThePageOfAPathWithAQueryAndOfHttp10) {
  Serve();
  EXPECT_THAT(Ask("GET /metrics?name[]=x HTTP/1.1\r\nHost: a\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask("GET /metrics HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, SaysThatAPageOrAMethodIsNotThere) {
  Serve();
  EXPECT_THAT(Ask("GET /metrics/x HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask("GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask("GET /%2e%2e/etc/passwd HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  const std::string post = Ask("POST /metrics HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + std::string(50000, 'x'));
  EXPECT_THAT(post, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(post, HasSubstr("Allow: GET, HEAD\r\n"));
  EXPECT_EQ(asked_, 0);
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  Serve();
  for (const std::string_view line :
       {"GET /metrics HTTP/2.0", "GET  /metrics HTTP/1.1", "GET /met\trics HTTP/1.1", "get /metrics HTTP/1.1",
        "GET /metrics", "\x16\x03\x01\x02", "GET /m\xc3\xa4 HTTP/1.1", " ", ""}) {
    EXPECT_THAT(Ask(std::string(line) + "\r\n\r\n"), StartsWith("HTTP/1.1 400")) << line;
  }
  EXPECT_EQ(asked_, 0);
}

TEST_F(HttpServerTest, RefusesAnOversizedHeadOrTarget) {
  Serve();
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\nX: " + std::string(20000, 'x')), StartsWith("HTTP/1.1 431"));
  std::string many = "GET /metrics HTTP/1.1\r\n";
  while (many.size() < 20000) many += "A: b\r\n";
  EXPECT_THAT(Ask(many), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("GET /" + std::string(2000, 'x') + " HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 414"));
  EXPECT_EQ(asked_, 0);
}

TEST_F(HttpServerTest, LooksAtNoHeader) {
  Serve();
  std::string ranges = "GET /metrics HTTP/1.1\r\nRange: bytes=0-1";
  for (int i = 0; i < 1500; ++i) ranges += ",0-1";
  EXPECT_THAT(Ask(ranges + "\r\nAccept-Encoding: gzip\r\nExpect: 100-continue\r\n\r\n"),
              testing::AllOf(StartsWith("HTTP/1.1 200"), EndsWith("\r\n\r\nlanyard_up 1\n")));
}

TEST_F(HttpServerTest, SaysThatTheLoopDoesNotAnswer) {
  Serve({.each_phase = milliseconds(100)});
  Client client(server_->port());
  client.Send(kGet);
  ASSERT_TRUE(WaitWithoutLoop(client));
  EXPECT_THAT(client.got(), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(client.got(), HasSubstr("the agent's loop does not answer"));
  EXPECT_THAT(Ask(kGet), StartsWith("HTTP/1.1 200"));  // it has come back
}

TEST_F(HttpServerTest, QueuesABoundedNumberOfRequestsForALoopThatHangs) {
  Serve({.each_phase = milliseconds(50)});
  for (int round = 0; round < 3 * kMostUnanswered / 32; ++round) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 32; ++i) {
      clients.push_back(std::make_unique<Client>(server_->port()));
      clients.back()->Send(kGet);
    }
    for (auto& client : clients) {
      ASSERT_TRUE(WaitWithoutLoop(*client));
      EXPECT_THAT(client->got(), StartsWith("HTTP/1.1 503"));
    }
  }
  RunUntilIdle(loop_);
  EXPECT_EQ(asked_, kMostUnanswered);
}

TEST_F(HttpServerTest, ASlowClientDelaysNobody) {
  Serve();
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(std::make_unique<Client>(server_->port()));
    slow.back()->Send("GET /metrics HTTP/1.1\r\nX: ");
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Ask(kGet), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(HttpServerTest, ARequestThatComesByteByByteEndsWithTheTimeLimit) {
  Serve({.each_phase = milliseconds(200)});
  Client client(server_->port());
  client.Send("GET /metrics HTTP/1.1\r\n");
  ASSERT_TRUE(RunUntil(loop_, [&] {
    client.Send("X");
    return client.Ended();
  }));
  EXPECT_THAT(client.got(), testing::AnyOf(StartsWith("HTTP/1.1 408"), testing::IsEmpty()));
}

TEST_F(HttpServerTest, AClientThatDoesNotReadLosesItsConnection) {
  body_ = std::string(64 << 20, 'x');
  Serve({.each_phase = milliseconds(200)});
  Client client(server_->port());
  client.Send(kGet);
  ASSERT_TRUE(RunUntil(loop_, [&] { return asked_ > 0; }));
  std::this_thread::sleep_for(milliseconds(600));
  ASSERT_TRUE(RunUntil(loop_, [&] { return client.Ended(); }));
  EXPECT_LT(client.got().size(), body_.size());
}

TEST_F(HttpServerTest, AnswersTwoHundredClientsAtOnce) {
  Serve();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    clients.back()->Send(kGet);
  }
  for (auto& client : clients) {
    ASSERT_TRUE(RunUntil(loop_, [&] { return client->Ended(); }));
    EXPECT_THAT(client->got(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(asked_, 200);
}

TEST_F(HttpServerTest, HundredsOfSilentClientsDoNotShutAnHonestOneOut) {
  Serve({.connections = 16});
  std::vector<std::unique_ptr<Client>> silent;
  for (int i = 0; i < 300; ++i) silent.push_back(std::make_unique<Client>(server_->port()));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Ask(kGet), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));  // before the time limit helps
}

TEST_F(HttpServerTest, ClientsThatAskAndDoNotReadDoNotShutAnHonestOneOut) {
  body_ = std::string(6 << 20, 'x');  // more than the kernel takes off our hands
  Serve({.connections = 16});
  std::vector<std::unique_ptr<Client>> deaf;
  for (int i = 0; i < 24; ++i) {
    deaf.push_back(std::make_unique<Client>(server_->port()));
    deaf.back()->Send(kGet);
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Ask("HEAD /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));  // before the time limit helps
}

TEST_F(HttpServerTest, StopsAtOnceWithOpenConnections) {
  Serve();
  Client silent(server_->port()), halfway(server_->port()), waiting(server_->port());
  halfway.Send("GET /met");
  waiting.Send(kGet);
  ASSERT_TRUE(RunUntil(loop_, [&] { return asked_ > 0; }));
  Client unanswered(server_->port());
  unanswered.Send(kGet);
  const auto begin = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  RunUntilIdle(loop_);  // what was posted for it does nothing
  EXPECT_EQ(asked_, 1);
}

TEST_F(HttpServerTest, NamesThePortThatIsTaken) {
  Serve();
  const Status second = HttpServer::Start(loop_, server_->address(), {}).status();
  EXPECT_EQ(second.code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(Message(second)), HasSubstr(fmt::format("listen on 127.0.0.1:{}", server_->port())));
  EXPECT_THAT(std::string(Message(second)), HasSubstr("choose another port"));
}

TEST_F(HttpServerTest, SaysThatAnAddressIsNotThisMachines) {
  const Status status = HttpServer::Start(loop_, {.ip = "192.0.2.1", .port = 9464}, {}).status();
  EXPECT_THAT(std::string(Message(status)), HasSubstr("does not have that address"));
}

TEST_F(HttpServerTest, GivesNoFileDescriptorToChildren) {
  Serve();
  Client client(server_->port());
  client.Send(kGet.substr(0, 10));
  RunUntilIdle(loop_);
  std::this_thread::sleep_for(milliseconds(50));
  for (int fd = 3; fd < 64; ++fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.ss_family != AF_INET) continue;
    EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << fd;
  }
}

}  // namespace
}  // namespace lanyard
