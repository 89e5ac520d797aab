// Requests and answers of the HTTP client over TLS, whom it believes apart (https_trust_test.cc).

#include <dlfcn.h>
#include <netdb.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "tests/unit/base/https_fixture.h"

namespace lanyard {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Then = ScriptedAnswer::Then;

// DNS, for the names that only these tests have: nobody is "nowhere.test", and of "slow.test" nothing is heard until
// the test says so.
struct Resolver {
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false;
  bool released = false;
  bool answered = false;
};
Resolver& TheResolver() {
  static Resolver resolver;
  return resolver;
}

class HttpsClientTest : public HttpsFixture {};

TEST_F(HttpsClientTest, SendsATokenOnlyByTlsAndOnlyIfItIsOne) {
  Serve(HttpOk("pods"), "");
  Connect(TcpServer{});
  EXPECT_THAT(Refusal(StatusCode::kInvalidArgument), HasSubstr("a token is not sent without TLS"));
  Connect(Tls());
  for (const char* bad : {"two words of c2VjcmV0", "c2VjcmV0\r\nX-Evil: 1", "c2VjcmV0\n"}) {
    token_ = bad;
    EXPECT_THAT(Refusal(StatusCode::kInvalidArgument), HasSubstr("characters that no token has"));
  }
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(HttpsClientTest, AsksAPlainServerWithoutToken) {
  Serve(HttpOk("pods"), "");
  Connect(TcpServer{});
  token_.clear();
  EXPECT_EQ(Answer()->body, "pods");
  EXPECT_THAT(server_->requests()[0], Not(HasSubstr("Authorization")));
}

TEST_F(HttpsClientTest, FollowsNoRedirectWithItsToken) {
  Serve([this](const std::string& request) {
    if (request.starts_with("GET /elsewhere")) return HttpOk("believe me");
    return ScriptedAnswer{"HTTP/1.1 302 Found\r\nLocation: " + Url("/elsewhere") + "\r\nContent-Length: 0\r\n\r\n"};
  });
  Connect(Tls());
  EXPECT_EQ(Answer()->status, 302);
  EXPECT_EQ(server_->requests().size(), 1);
}

TEST_F(HttpsClientTest, UsesAConnectionAgainAndReplacesOneThatWasClosed) {
  int asked = 0;
  Serve([&](const std::string&) { return ++asked == 3 ? ScriptedAnswer{"", Then::kClose} : HttpOk("pods"); });
  Connect(Tls());
  EXPECT_EQ(Answer()->body, "pods");
  EXPECT_EQ(Answer()->body, "pods");
  EXPECT_EQ(server_->connections(), 1);
  EXPECT_EQ(Answer()->body, "pods") << "the server hung up on the request, which nobody has answered";
  EXPECT_EQ(server_->connections(), 2);
  EXPECT_EQ(server_->requests().size(), 4);
}

TEST_F(HttpsClientTest, AnswersAllOfMoreRequestsThanItHasConnectionsAndForgetsThoseThatWereDestroyed) {
  Serve(HttpOk("pods"));
  Connect(TcpServer{.tls = Tls()}, {.connections = 2});
  std::vector<std::unique_ptr<Asked>> all;
  for (int i = 0; i < 8; ++i) all.push_back(Ask());
  all[5]->request.reset();  // its turn to read its files has not come
  const auto answered = [&] {
    return std::count_if(all.begin(), all.end(), [](auto& one) { return one->answer.has_value(); });
  };
  ASSERT_TRUE(RunUntil(loop_, [&] { return answered() == 7; }));
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i]->answer.has_value() && all[i]->answer->ok(), i != 5) << i;
  EXPECT_LE(server_->connections(), 2);
  EXPECT_EQ(server_->requests().size(), 7);
}

TEST_F(HttpsClientTest, TakesLongAnswersAndNoneBeyondTheLimit) {
  const std::string body(3'000'000, 'x');
  std::string chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < body.size(); at += 4000) chunks += "fa0\r\n" + body.substr(at, 4000) + "\r\n";
  Serve([&](const std::string& request) {
    if (request.starts_with("GET /chunks")) return ScriptedAnswer{chunks + "0\r\n\r\n"};
    if (request.starts_with("GET /length")) return HttpOk(body);
    return ScriptedAnswer{"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\nx", Then::kRepeatLastByteForever};
  });
  Connect(Tls());
  for (const auto& [path, room] : std::vector<std::pair<std::string, size_t>>{
           {"/chunks", 6'000'000}, {"/chunks", 3'400'000}, {"/length", 3'000'000}}) {
    const Result<HttpAnswer> answer = Answer(path);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_TRUE(answer->body == std::string_view(body)) << path;
    EXPECT_LE(answer->body.capacity(), room) << path << ": it was not made in one piece";
  }
  EXPECT_THAT(Refusal(StatusCode::kResourceExhausted), HasSubstr("body is longer than 4194304 bytes"));
  EXPECT_TRUE(RunUntil(loop_, [&] { return server_->open_connections() == 0; })) << "it is still being received";
}

TEST_F(HttpsClientTest, EndsAHandshakeAtTheDeadline) {
  const UniqueFd listener = Listen();
  Connect(TcpServer{.port = ListeningPort(), .tls = Tls()});
  const auto asked = Ask();
  const UniqueFd accepted = Accept(listener);
  char byte = 0;
  ASSERT_TRUE(RunUntil(loop_, [&] { return recv(accepted.get(), &byte, 1, MSG_DONTWAIT) == 1; }));
  clock_.Advance(seconds(5));
  ASSERT_TRUE(asked->answer.has_value());
  EXPECT_EQ(asked->answer->status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(Message(asked->answer->status())),
              HasSubstr("the TLS handshake did not come to its end in time"));
}

TEST_F(HttpsClientTest, SaysThatNothingAnsweredWhereThereIsNoConnection) {
  const UniqueFd listener = Listen(0);
  std::vector<UniqueFd> waiting;  // take all the room there is, so that the kernel drops what comes
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    IGNORE_ERROR(connect(waiting.back().get(), reinterpret_cast<const sockaddr*>(&listening_), sizeof(listening_)),
                 "in progress");
  }
  Connect(TcpServer{.port = ListeningPort(), .tls = Tls()});
  const auto asked = Ask();
  ASSERT_TRUE(RunUntilIdle(loop_));
  loop_.RunOnce(50);
  clock_.Advance(seconds(5));
  ASSERT_TRUE(asked->answer.has_value());
  EXPECT_THAT(std::string(Message(asked->answer->status())), HasSubstr("connect: no answer came in time"));
}

TEST_F(HttpsClientTest, SaysWhatIsNotTls) {
  for (const auto& [bytes, why] : std::vector<std::pair<std::string, std::string>>{
           {"HTTP/1.0 400 Bad Request\r\n\r\nClient sent garbage", "what answers there does not speak TLS"},
           {"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "what answers there does not speak TLS"},
           {std::string(10'000, '\0'), "does not speak TLS"},
           {"", "TLS: "}}) {
    const UniqueFd listener = Listen();
    Connect(TcpServer{.port = ListeningPort(), .tls = Tls()});
    const auto asked = Ask();
    UniqueFd accepted = Accept(listener);
    ASSERT_EQ(send(accepted.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    if (bytes.empty()) accepted.reset();
    ASSERT_TRUE(RunUntil(loop_, [&] { return asked->answer.has_value(); }));
    EXPECT_EQ(asked->answer->status().code(), StatusCode::kUnavailable);
    EXPECT_THAT(std::string(Message(asked->answer->status())), HasSubstr(why));
  }
}

TEST_F(HttpsClientTest, SaysThatNobodyListens) {
  Listen().reset();
  Connect(TcpServer{.port = ListeningPort(), .tls = Tls()});
  EXPECT_EQ(Refusal(StatusCode::kUnavailable),
            fmt::format("https://127.0.0.1:{}/pods: connect: Connection refused", ListeningPort()));
}

TEST_F(HttpsClientTest, AsksAtAnIpv6Address) {
  Serve(HttpOk("pods"), "server", {"--host", "::1"});
  Connect(TcpServer{.address = "::1", .tls = Tls()});
  const Result<HttpAnswer> answer = Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  TlsSettings tls = Tls();
  tls.server_name = "";
  Connect(TcpServer{.address = "::1", .tls = tls});
  EXPECT_TRUE(Answer().ok());
  tls.server_name = "fd00::7";
  Connect(TcpServer{.address = "::1", .tls = tls});
  EXPECT_THAT(Refusal(StatusCode::kPermissionDenied),
              StartsWith(fmt::format("https://[::1]:{}/pods: its certificate is not for fd00::7", front_->port())));
}

TEST_F(HttpsClientTest, ResolvesAHostName) {
  Serve(HttpOk("pods"));
  Connect(TcpServer{.address = "localhost", .tls = Tls()});
  const Result<HttpAnswer> answer = Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  Connect(TcpServer{.address = "nowhere.test", .tls = Tls()});
  EXPECT_THAT(Refusal(StatusCode::kUnavailable), HasSubstr("its address cannot be resolved"));
}

TEST_F(HttpsClientTest, NeitherWaitsForASlowResolverNorForOneWhoseAnswerIsNotWanted) {
  Resolver& resolver = TheResolver();
  Serve(HttpOk("pods"));
  Connect(TcpServer{.address = "slow.test", .tls = Tls()});
  const auto asked = Ask();
  ASSERT_TRUE(RunUntil(loop_, [&] {
    const std::lock_guard lock(resolver.mutex);
    return resolver.asked;
  }));
  clock_.Advance(seconds(5));
  ASSERT_TRUE(asked->answer.has_value());
  EXPECT_THAT(std::string(Message(asked->answer->status())), HasSubstr("its address was not resolved"));
  client_.reset();
  std::unique_lock lock(resolver.mutex);
  EXPECT_FALSE(resolver.answered) << "somebody has waited until the resolver gave up";
  resolver.released = true;
  resolver.changed.notify_all();
  resolver.changed.wait(lock, [&] { return resolver.answered; });
}

TEST_F(HttpsClientTest, NeverAnswersARequestThatWasDestroyedWhileItsFilesWereRead) {
  Serve(HttpOk("pods"));
  Connect(Tls());
  const auto asked = Ask();
  asked->request.reset();
  client_.reset();
  ASSERT_TRUE(RunUntilIdle(loop_));
  EXPECT_FALSE(asked->answer.has_value());
}

TEST_F(HttpsClientTest, RefusesSettingsThatMakeNoSense) {
  const TlsSettings good = Tls();
  struct Wrong {
    TcpServer server;
    std::string why;
  };
  for (const Wrong& wrong :
       std::vector<Wrong>{{{.address = "node1/evil", .port = 1, .tls = good}, "address \"node1/evil\" is neither"},
                          {{.address = "user@node1", .port = 1, .tls = good}, "address \"user@node1\" is neither"},
                          {{.address = "[::1]", .port = 1, .tls = good}, "address \"[::1]\" is neither"},
                          {{.address = "", .port = 1, .tls = good}, "address \"\" is neither"},
                          {{.address = "node1", .port = 0, .tls = good}, "port 0"},
                          {{.address = "node1", .port = 1, .tls = TlsSettings{}}, "ca_file is missing"},
                          {{.address = "node1", .port = 1, .tls = TlsSettings{.ca_file = "/x", .server_name = "a:1"}},
                           "server_name \"a:1\" is neither"},
                          {{.address = "node1", .port = 1, .tls = TlsSettings{.ca_file = "/x", .key_file = "/y"}},
                           "one is worth nothing without the other"}}) {
    HttpClientOptions options;
    options.server = wrong.server;
    client_ = std::make_unique<HttpClient>(loop_, clock_, options);
    EXPECT_THAT(Refusal(StatusCode::kInvalidArgument), HasSubstr(wrong.why));
  }
}

}  // namespace
}  // namespace lanyard

// In place of the C library's for the whole program, libcurl's threads included.
extern "C" int getaddrinfo(const char* __restrict host, const char* __restrict service,
                           const addrinfo* __restrict hints, addrinfo** __restrict found) {
  const std::string_view name = host != nullptr ? host : "";
  if (name == "nowhere.test") return EAI_NONAME;
  if (name == "slow.test") {
    lanyard::Resolver& resolver = lanyard::TheResolver();
    std::unique_lock lock(resolver.mutex);
    resolver.asked = true;
    resolver.changed.wait_for(lock, std::chrono::seconds(30), [&] { return resolver.released; });
    resolver.answered = true;
    resolver.changed.notify_all();
    return EAI_AGAIN;
  }
  static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(host, service, hints, found);
}
