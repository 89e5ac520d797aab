#include "pki/tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "pki/openssl_ptr.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// An OpenSSL client on memory, as lax as it can be: what is refused is refused by the server.
class Client {
 public:
  explicit Client(int least = TLS1_2_VERSION, int most = TLS1_3_VERSION) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_.get(), 0);
    SSL_CTX_set_min_proto_version(context_.get(), least);
    SSL_CTX_set_max_proto_version(context_.get(), most);
    SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
  }
  SSL* ssl() { return ssl_.get(); }
  // What it wants to send after it has read `from_server`.
  std::string Step(std::string_view from_server = "") {
    BIO_write(SSL_get_rbio(ssl()), from_server.data(), static_cast<int>(from_server.size()));
    ERR_clear_error();
    if (!SSL_is_init_finished(ssl())) SSL_do_handshake(ssl());
    char bytes[4096];
    for (int got = 0; SSL_is_init_finished(ssl()) && (got = SSL_read(ssl(), bytes, sizeof bytes)) > 0;)
      read_.append(bytes, static_cast<std::size_t>(got));
    return Sent();
  }
  std::string Say(std::string_view text) {
    EXPECT_GT(SSL_write(ssl(), text.data(), static_cast<int>(text.size())), 0);
    return Sent();
  }
  bool done() { return SSL_is_init_finished(ssl()) == 1; }
  const std::string& read() const { return read_; }

 private:
  std::string Sent() {
    std::string all;
    char bytes[4096];
    for (int got = 0; (got = BIO_read(SSL_get_wbio(ssl()), bytes, sizeof bytes)) > 0;)
      all.append(bytes, static_cast<std::size_t>(got));
    return all;
  }
  SslCtxPtr context_;
  SslPtr ssl_;
  std::string read_;
};

class TlsServerTest : public ::testing::Test {
 protected:
  TlsServerTest() {
    cli_.MakeCertificate("server", "", "subjectAltName=DNS:bundle.example.org\n");
    cli_.MakeCertificate("next", "", "subjectAltName=DNS:bundle.example.org\n");
  }
  TlsServerContext Context(const std::string& name = "server") {
    return Get(TlsServerContext::Create({ReadCertificate(cli_, name)}, ReadKey(cli_, name)));
  }
  // Until nobody has anything to say.
  Status Shake(Client& client, TlsServerSession& server) {
    std::string to_server = client.Step();
    while (!to_server.empty()) {
      std::string reply;
      RETURN_IF_ERROR(server.Receive(to_server, plain_, reply));
      to_server = client.Step(reply);
    }
    return OkStatus();
  }

  OpensslCli cli_;
  std::string plain_;
};

TEST_F(TlsServerTest, CarriesARequestAndOneAnswerByBothVersions) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const TlsServerContext context = Context();
    TlsServerSession server = Get(TlsServerSession::Begin(context));
    Client client(version, version);
    ASSERT_TRUE(Shake(client, server).ok());
    ASSERT_TRUE(client.done());
    EXPECT_EQ(SSL_version(client.ssl()), version);
    plain_.clear();
    std::string reply;
    EXPECT_TRUE(server.Receive(client.Say("GET / HTTP/1.1\r\n\r\n"), plain_, reply).ok());
    EXPECT_EQ(plain_, "GET / HTTP/1.1\r\n\r\n");
    std::string wire;
    ASSERT_TRUE(server.SendLast(std::string(100'000, 'x'), wire).ok());
    EXPECT_THAT(wire, Not(HasSubstr("xxxx")));
    client.Step(wire);
    EXPECT_EQ(client.read(), std::string(100'000, 'x'));
    EXPECT_EQ(SSL_get_shutdown(client.ssl()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN) << "the end is said";
  }
}

TEST_F(TlsServerTest, TakesTheHandshakeByteByByte) {
  TlsServerSession server = Get(TlsServerSession::Begin(Context()));
  Client client;
  std::string to_server = client.Step();
  while (!to_server.empty()) {
    std::string reply;
    for (const char byte : to_server) ASSERT_TRUE(server.Receive(std::string_view(&byte, 1), plain_, reply).ok());
    to_server = client.Step(reply);
  }
  EXPECT_TRUE(client.done());
}

TEST_F(TlsServerTest, RefusesOldVersionsAndWeakSuites) {
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    TlsServerSession server = Get(TlsServerSession::Begin(Context()));
    Client client(version, version);
    EXPECT_FALSE(Shake(client, server).ok());
  }
  for (const char* suite :
       {"AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AECDH-AES128-SHA"}) {
    TlsServerSession server = Get(TlsServerSession::Begin(Context()));
    Client client(TLS1_2_VERSION, TLS1_2_VERSION);
    ASSERT_EQ(SSL_set_cipher_list(client.ssl(), (std::string(suite) + ":@SECLEVEL=0").c_str()), 1);
    EXPECT_FALSE(Shake(client, server).ok()) << suite;
  }
}

TEST_F(TlsServerTest, WhoNamesProtocolsMustNameOurs) {
  const auto offer = [this](std::string_view protocols, std::string_view expected) {
    TlsServerSession server = Get(TlsServerSession::Begin(Context()));
    Client client;
    SSL_set_alpn_protos(client.ssl(), reinterpret_cast<const unsigned char*>(protocols.data()),
                        static_cast<unsigned>(protocols.size()));
    const bool ok = Shake(client, server).ok();
    const unsigned char* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(client.ssl(), &chosen, &length);
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(chosen), length), expected);
    return ok;
  };
  EXPECT_TRUE(offer("\x02h2\x08http/1.1", "http/1.1"));
  EXPECT_FALSE(offer("\x02h2", ""));
}

// SPIFFE_Federation §5.2.1.3 and §5.2.2.3
TEST_F(TlsServerTest, DoesNotAskForACertificate) {
  TlsServerSession server = Get(TlsServerSession::Begin(Context()));
  Client client;
  bool asked = false;
  SSL_set_cert_cb(
      client.ssl(),
      [](SSL*, void* flag) {
        *static_cast<bool*>(flag) = true;
        return 1;
      },
      &asked);
  ASSERT_TRUE(Shake(client, server).ok());
  EXPECT_FALSE(asked);
}

TEST_F(TlsServerTest, SessionsAreNeverResumed) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const TlsServerContext context = Context();
    TlsServerSession first = Get(TlsServerSession::Begin(context));
    Client client(version, version);
    ASSERT_TRUE(Shake(client, first).ok());
    const std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(SSL_get1_session(client.ssl()),
                                                                            SSL_SESSION_free);
    TlsServerSession second = Get(TlsServerSession::Begin(context));
    Client again(version, version);
    SSL_set_session(again.ssl(), session.get());
    ASSERT_TRUE(Shake(again, second).ok());
    EXPECT_EQ(SSL_session_reused(again.ssl()), 0);
  }
}

TEST_F(TlsServerTest, ASessionKeepsTheCertificateThatItBeganWith) {
  TlsServerContext context = Context("server");
  TlsServerSession old_session = Get(TlsServerSession::Begin(context));
  context = Context("next");
  TlsServerSession new_session = Get(TlsServerSession::Begin(context));
  Client old_client, new_client;
  ASSERT_TRUE(Shake(old_client, old_session).ok());
  ASSERT_TRUE(Shake(new_client, new_session).ok());
  const auto shown = [](Client& client) {
    const X509Ptr certificate(SSL_get1_peer_certificate(client.ssl()));
    return Get(Certificate::FromNative(certificate.get()));
  };
  EXPECT_EQ(shown(old_client), ReadCertificate(cli_, "server"));
  EXPECT_EQ(shown(new_client), ReadCertificate(cli_, "next"));
}

TEST_F(TlsServerTest, WhatIsNoTlsIsAnErrorAndNoMore) {
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\x16\x03\x01\xff\xff", 5) + std::string(70000, 'x'),
        std::string(5, '\0'), std::string(1000, '\x16'),
        std::string("\x80\x2e\x01\x00\x02", 5) + std::string(44, 'x')}) {
    TlsServerSession server = Get(TlsServerSession::Begin(Context()));
    std::string reply;
    Status status = server.Receive(garbage, plain_, reply);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << garbage.substr(0, 20);
    EXPECT_FALSE(server.Receive(garbage, plain_, reply).ok()) << "over is over";
    EXPECT_FALSE(server.SendLast("secret", reply).ok());
    EXPECT_THAT(reply, Not(HasSubstr("secret")));
    EXPECT_EQ(plain_, "");
  }
}

TEST_F(TlsServerTest, NothingIsSaidBeforeTheHandshake) {
  TlsServerSession server = Get(TlsServerSession::Begin(Context()));
  std::string wire;
  EXPECT_EQ(server.SendLast("secret", wire).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(wire, "");
}

TEST_F(TlsServerTest, AnAlteredRecordIsAnError) {
  TlsServerSession server = Get(TlsServerSession::Begin(Context()));
  Client client;
  ASSERT_TRUE(Shake(client, server).ok());
  std::string request = client.Say("GET / HTTP/1.1\r\n\r\n");
  request[request.size() / 2] ^= 1;
  std::string reply;
  EXPECT_EQ(server.Receive(request, plain_, reply).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(plain_, "");
}

TEST_F(TlsServerTest, TheKeyMustBeTheCertificates) {
  EXPECT_THAT(TlsServerContext::Create({ReadCertificate(cli_, "server")}, ReadKey(cli_, "next")),
              Refused("use the certificate with its key"));
  EXPECT_FALSE(TlsServerContext::Create({}, ReadKey(cli_, "next")).ok());
}

TEST_F(TlsServerTest, NamesTheHostsOfItsCertificateAndNoOthers) {
  cli_.MakeCertificate("many", "", "subjectAltName=DNS:*.example.org,IP:192.0.2.1\n");
  for (const char* host : {"bundle.example.org", "BUNDLE.example.org"}) EXPECT_TRUE(Context().Names(host)) << host;
  for (const char* host : {"example.org", "oidc.example.org", "192.0.2.1", "server", ""})
    EXPECT_FALSE(Context().Names(host)) << host;
  for (const char* host : {"oidc.example.org", "192.0.2.1"}) EXPECT_TRUE(Context("many").Names(host)) << host;
  for (const char* host : {"a.b.example.org", "192.0.2.2"}) EXPECT_FALSE(Context("many").Names(host)) << host;
}

}  // namespace
}  // namespace lanyard::testing
