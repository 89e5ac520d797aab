// The HTTP client before a server that speaks Python's TLS, with certificates that the openssl program has made.
#pragma once

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/http_client.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/openssl_cli.h"
#include "tests/support/scripted_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tls_front.h"

namespace lanyard {

constexpr const char* kToken = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0LXRva2Vu.c2ln";

class HttpsFixture : public ::testing::Test {
 protected:
  HttpsFixture() {
    MakeAuthority("ca");
    certs_.MakeCertificate("server", "ca", "subjectAltName=DNS:node1,IP:127.0.0.1\n");
  }

  void MakeAuthority(const std::string& name, const std::string& subject = "/CN=kubelet-ca") const {
    certs_.MakeCertificate(name, "", "basicConstraints=critical,CA:TRUE\n", subject);
  }

  void Serve(ScriptedServer::Script script, const std::string& certificate = "server",
             std::vector<std::string> more = {}) {
    server_ = std::make_unique<ScriptedServer>(dir_.Path("s.sock"), std::move(script));
    std::vector<std::string> arguments = {server_->path()};
    if (!certificate.empty())
      arguments.insert(arguments.end(),
                       {"--cert", certs_.Path(certificate + ".crt"), "--key", certs_.Path(certificate + ".key")});
    arguments.insert(arguments.end(), more.begin(), more.end());
    front_ = std::make_unique<TlsFront>(arguments);
    ASSERT_NE(front_->port(), 0);
  }
  void Serve(const ScriptedAnswer& answer, const std::string& certificate = "server",
             std::vector<std::string> more = {}) {
    Serve([answer](const std::string&) { return answer; }, certificate, std::move(more));
  }

  TlsSettings Tls() const { return {.ca_file = certs_.Path("ca.crt"), .server_name = "node1"}; }
  void Connect(TcpServer server, HttpClientOptions options = {}) {
    if (server.address.empty()) server.address = "127.0.0.1";
    if (server.port == 0) server.port = front_->port();
    options.server = server;
    client_ = std::make_unique<HttpClient>(loop_, clock_, std::move(options));
  }
  void Connect(const TlsSettings& tls) { Connect(TcpServer{.tls = tls}); }

  struct Asked {
    std::optional<Result<HttpAnswer>> answer;
    std::unique_ptr<HttpClient::Request> request;
  };
  std::unique_ptr<Asked> Ask(const std::string& path = "/pods") {
    auto asked = std::make_unique<Asked>();
    asked->request =
        client_->Get(path, token_, clock_.MonoNow() + std::chrono::seconds(5),
                     [asked = asked.get()](Result<HttpAnswer> answer) { asked->answer = std::move(answer); });
    EXPECT_FALSE(asked->answer.has_value()) << "answered before Get has returned";
    return asked;
  }
  Result<HttpAnswer> Answer(const std::string& path = "/pods") {
    const auto asked = Ask(path);
    EXPECT_TRUE(RunUntil(loop_, [&] { return asked->answer.has_value(); }));
    return asked->answer ? std::move(*asked->answer) : Error(StatusCode::kAborted, "no answer at all");
  }
  std::string Refusal(StatusCode code) {
    const Result<HttpAnswer> answer = Answer();
    EXPECT_EQ(answer.status().code(), code) << answer.status();
    EXPECT_THAT(std::string(Message(answer.status())), ::testing::Not(::testing::HasSubstr("c2VjcmV0")));
    return std::string(Message(answer.status()));
  }
  std::string Url(const std::string& path = "/pods") const {
    return fmt::format("https://127.0.0.1:{}{}", front_->port(), path);
  }
  // Once the connections that there were have ended: nothing has arrived by them.
  bool NothingWasSent() {
    return RunUntil(loop_, [&] { return server_->open_connections() == 0; }) && server_->requests().empty();
  }

  // A port at which connections are made by the kernel and, unless the test does it, accepted by nobody.
  UniqueFd Listen(int backlog = 8) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    listening_.sin_family = AF_INET;
    listening_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening_.sin_port = 0;
    socklen_t size = sizeof(listening_);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&listening_), sizeof(listening_)), 0);
    EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&listening_), &size), 0);
    EXPECT_EQ(listen(fd.get(), backlog), 0);
    return fd;
  }
  UniqueFd Accept(const UniqueFd& listener) {
    UniqueFd fd;
    EXPECT_TRUE(RunUntil(loop_, [&] {
      fd.reset(accept(listener.get(), nullptr, nullptr));
      return bool(fd);
    }));
    return fd;
  }
  uint16_t ListeningPort() const { return ntohs(listening_.sin_port); }

  const TempDir dir_;
  const testing::OpensslCli certs_;
  sockaddr_in listening_{};
  WipedString token_ = kToken;
  EventLoop loop_;
  FakeClock clock_;
  std::unique_ptr<ScriptedServer> server_;
  std::unique_ptr<TlsFront> front_;
  std::unique_ptr<HttpClient> client_;
};

}  // namespace lanyard
