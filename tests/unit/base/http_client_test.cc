#include "node_agent/base/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <optional>

#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/scripted_server.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;
using Then = ScriptedAnswer::Then;

class HttpClientTest : public testing::Test {
 protected:
  struct Asked {
    std::optional<Result<HttpAnswer>> answer;
    std::unique_ptr<HttpClient::Request> request;
  };

  void Serve(ScriptedServer::Script script) {
    server_ = std::make_unique<ScriptedServer>(dir_.Path("s.sock"), std::move(script));
  }
  void Serve(ScriptedAnswer answer) {
    Serve([answer = std::move(answer)](const std::string&) { return answer; });
  }

  void Connect(HttpClientOptions options = {}) {
    options.server = UnixServer{dir_.Path("s.sock")};
    client_ = std::make_unique<HttpClient>(loop_, clock_, std::move(options));
  }

  std::unique_ptr<Asked> Ask(const std::string& path = "/x") {
    if (client_ == nullptr) Connect();
    auto asked = std::make_unique<Asked>();
    asked->request =
        client_->Get(path, clock_.MonoNow() + seconds(5), [this, asked = asked.get()](Result<HttpAnswer> answer) {
          EXPECT_TRUE(loop_.OnLoopThread());
          asked->answer = std::move(answer);
        });
    EXPECT_FALSE(asked->answer.has_value()) << "answered before Get has returned";
    return asked;
  }
  void Await(const Asked& asked) {
    ASSERT_TRUE(RunUntil(loop_, [&] { return asked.answer.has_value(); }));
  }
  Result<HttpAnswer> Answer(const std::string& path = "/x") {
    const auto asked = Ask(path);
    EXPECT_TRUE(RunUntil(loop_, [&] { return asked->answer.has_value(); }));
    return asked->answer ? std::move(*asked->answer) : Error(StatusCode::kAborted, "no answer at all");
  }
  std::string Refusal(StatusCode code) {
    const Result<HttpAnswer> answer = Answer();
    EXPECT_EQ(answer.status().code(), code) << answer.status();
    EXPECT_THAT(std::string(Message(answer.status())), StartsWith("socket " + dir_.Path("s.sock") + ": "));
    return std::string(Message(answer.status()));
  }

  // A socket of that name at which nobody listens yet.
  UniqueFd Bind() {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    address_.sun_family = AF_UNIX;
    dir_.Path("s.sock").copy(address_.sun_path, sizeof(address_.sun_path) - 1);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)), 0);
    return fd;
  }

  const TempDir dir_;
  sockaddr_un address_{};
  EventLoop loop_;
  FakeClock clock_;
  std::unique_ptr<ScriptedServer> server_;
  std::unique_ptr<HttpClient> client_;
};

TEST_F(HttpClientTest, AsksForThePathAndGivesStatusAndBody) {
  Serve([](const std::string& request) {
    return request.starts_with("GET /containers/ab/json HTTP/1.1\r\n") ? HttpOk("{\"Id\":\"ab\"}")
                                                                       : HttpOk("asked for something else");
  });
  const Result<HttpAnswer> answer = Answer("/containers/ab/json");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "{\"Id\":\"ab\"}");
  EXPECT_THAT(server_->requests().front(), HasSubstr("\r\nHost: localhost\r\n"));
}

TEST_F(HttpClientTest, PutsChunksTogether) {
  Serve({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"});
  EXPECT_EQ(Answer()->body, "abcde");
}

TEST_F(HttpClientTest, GivesAnyStatusAsAnAnswerAndFollowsNoRedirect) {
  Serve({"HTTP/1.1 302 Found\r\nLocation: http://localhost/elsewhere\r\nContent-Length: 0\r\n\r\n"});
  EXPECT_EQ(Answer()->status, 302);
  EXPECT_EQ(server_->requests().size(), 1);
}

TEST_F(HttpClientTest, GoesToNoProxyWhateverTheEnvironmentSays) {
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) setenv(name, "http://127.0.0.1:1", 1);
  Serve(HttpOk("direct"));
  EXPECT_EQ(Answer()->body, "direct");
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) unsetenv(name);
}

TEST_F(HttpClientTest, UsesAConnectionAgain) {
  Serve(HttpOk("x"));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Answer().ok());
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_EQ(server_->requests().size(), 5);
}

TEST_F(HttpClientTest, ConnectsAnewToAServerThatHasStartedAgain) {
  Serve(HttpOk("first"));
  EXPECT_EQ(Answer()->body, "first");
  server_.reset();
  EXPECT_THAT(Refusal(StatusCode::kNotFound), HasSubstr("No such file"));
  Serve(HttpOk("second"));
  EXPECT_EQ(Answer()->body, "second");
}

TEST_F(HttpClientTest, HasFewConnectionsAndServesTheOthersInTheirTurn) {
  Serve(HttpOk("x"));
  Connect({.connections = 2});
  std::vector<std::unique_ptr<Asked>> asked;
  for (int i = 0; i < 50; ++i) asked.push_back(Ask());
  for (const auto& one : asked) Await(*one);
  for (const auto& one : asked) EXPECT_TRUE((*one->answer).ok()) << one->answer->status();
  EXPECT_LE(server_->most_open_connections(), 2);
  EXPECT_EQ(server_->requests().size(), 50);
}

TEST_F(HttpClientTest, NeverAnswersARequestThatWasDestroyed) {
  Serve([](const std::string& request) {
    return request.starts_with("GET /slow") ? ScriptedAnswer{"HTTP/1.1 200 OK\r\n", Then::kSilence} : HttpOk("x");
  });
  auto slow = Ask("/slow");
  ASSERT_TRUE(RunUntil(loop_, [&] { return !server_->requests().empty(); }));
  slow->request.reset();
  EXPECT_TRUE(Answer().ok());
  EXPECT_FALSE(slow->answer.has_value());
  EXPECT_TRUE(RunUntil(loop_, [&] { return server_->open_connections() == 1; })) << "its connection is still open";
}

TEST_F(HttpClientTest, LetsTheAnswerDestroyRequestAndClient) {
  Serve(HttpOk("x"));
  Connect();
  bool answered = false;
  std::unique_ptr<HttpClient::Request> request, other;
  other = client_->Get("/y", clock_.MonoNow() + seconds(5), [](const Result<HttpAnswer>&) {});
  request = client_->Get("/x", clock_.MonoNow() + seconds(5), [&](const Result<HttpAnswer>&) {
    answered = true;
    other.reset();
    request.reset();
    client_.reset();
  });
  EXPECT_TRUE(RunUntil(loop_, [&] { return answered; }));
  loop_.RunOnce(0);
}

TEST_F(HttpClientTest, EndsAtTheDeadlineWhateverTrickles) {
  Serve({"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nab", Then::kSilence});
  const auto asked = Ask();
  ASSERT_TRUE(RunUntil(loop_, [&] { return !server_->requests().empty(); }));
  clock_.Advance(seconds(4));
  loop_.RunOnce(0);
  EXPECT_FALSE(asked->answer.has_value());
  clock_.Advance(seconds(1));
  ASSERT_TRUE(asked->answer.has_value());
  EXPECT_EQ(asked->answer->status().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(HttpClientTest, TakesNoBodyBeyondTheLimitHoweverItIsSent) {
  const std::string head = "HTTP/1.1 200 OK\r\n";
  const std::string chunk = "100000\r\n" + std::string(1 << 20, 'x') + "\r\n";
  for (const auto& [headers, body] : std::vector<std::pair<std::string, std::string>>{
           {"Content-Length: 52428800\r\n\r\n", "x"}, {"\r\n", "x"}, {"Transfer-Encoding: chunked\r\n\r\n", chunk}}) {
    Serve({head + headers + body, Then::kRepeatLastByteForever});
    Connect({.max_body_bytes = 100'000});
    EXPECT_THAT(Refusal(StatusCode::kResourceExhausted), HasSubstr("body is longer than 100000 bytes")) << headers;
    server_.reset();
  }
  Serve(HttpOk(std::string(100'000, 'x')));
  Connect({.max_body_bytes = 100'000});
  EXPECT_EQ(Answer()->body.size(), 100'000);
}

TEST_F(HttpClientTest, TakesNoHeadersBeyondTheLimit) {
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5000; ++i) many += fmt::format("X-{}: {}\r\n", i, std::string(20, 'v'));
  std::string informational;
  for (int i = 0; i < 5000; ++i) informational += "HTTP/1.1 100 Continue\r\n\r\n";
  for (const std::string& headers : {many, informational}) {
    Serve({headers, Then::kSilence});
    Connect();
    EXPECT_THAT(Refusal(StatusCode::kResourceExhausted), HasSubstr("headers is longer than 32768 bytes"));
    server_.reset();
  }
  Serve({"HTTP/1.1 200 OK\r\nX: v", Then::kRepeatLastByteForever});  // one that never ends
  EXPECT_FALSE(Answer().ok());
}

TEST_F(HttpClientTest, TakesNothingThatIsNoWholeAnswer) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const ScriptedAnswer& answer :
       {ScriptedAnswer{"", Then::kClose}, ScriptedAnswer{"garbage\n", Then::kClose},
        ScriptedAnswer{std::string(100, '\0'), Then::kClose},
        ScriptedAnswer{"{\"Id\":\"without any header\"}", Then::kClose},
        ScriptedAnswer{ok + "Content-Length: 10\r\n\r\nshort", Then::kClose},
        ScriptedAnswer{ok + "Content-Length: ten\r\n\r\n", Then::kClose},
        ScriptedAnswer{ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", Then::kClose},
        ScriptedAnswer{ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", Then::kClose}}) {
    Serve(answer);
    Connect();
    Refusal(StatusCode::kUnavailable);
    server_.reset();
  }
}

TEST_F(HttpClientTest, DoesNotTakeTheEndOfOneAnswerForTheNext) {
  Serve({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nzz"});
  EXPECT_EQ(Answer()->body, "ab");
  const Result<HttpAnswer> second = Answer();
  EXPECT_TRUE(!second.ok() || second->body == "ab") << second->body;
}

TEST_F(HttpClientTest, SaysWhenNobodyListens) {
  EXPECT_THAT(Refusal(StatusCode::kNotFound), HasSubstr("No such file or directory"));
  const UniqueFd bound = Bind();
  EXPECT_THAT(Refusal(StatusCode::kUnavailable), HasSubstr("Connection refused"));
}

TEST_F(HttpClientTest, SaysWhenTheServerAcceptsNobody) {
  const UniqueFd listener = Bind();
  ASSERT_EQ(listen(listener.get(), 1), 0);
  std::vector<UniqueFd> waiting;
  do {
    waiting.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  } while (connect(waiting.back().get(), reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) == 0);
  EXPECT_THAT(Refusal(StatusCode::kUnavailable), HasSubstr("too many connections wait"));
}

TEST_F(HttpClientTest, SendsNothingToASocketThatAnotherUserListensAt) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to listen as another user";
  const UniqueFd listener = Bind();
  ASSERT_EQ(seteuid(4242), 0);
  ASSERT_EQ(listen(listener.get(), 8), 0);
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied), HasSubstr("uid 4242 answers there"));
  const UniqueFd accepted(accept(listener.get(), nullptr, nullptr));
  char byte = 0;
  EXPECT_EQ(recv(accepted.get(), &byte, 1, 0), 0) << "a byte was sent";
}

TEST_F(HttpClientTest, DistrustsASocketThatOthersCouldReplace) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to give files away";
  Serve(HttpOk("x"));
  ASSERT_EQ(chown(dir_.Path("s.sock").c_str(), 4242, 4242), 0);
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied), HasSubstr("belongs to another user"));
  ASSERT_EQ(chown(dir_.Path("s.sock").c_str(), 0, 0), 0);
  ASSERT_EQ(chmod(dir_.Path("s.sock").c_str(), 0666), 0);  // as many run Docker; it lets others connect, no more
  EXPECT_TRUE(Answer().ok());
  Connect();
  ASSERT_EQ(chmod(dir_.path().c_str(), 0777), 0);
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied), HasSubstr("can be changed by other users"));
}

}  // namespace
}  // namespace lanyard
