#include "pki/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "pki/openssl_ptr.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

// Both ends of one connection over memory.
struct Connection {
  Connection(SSL_CTX* client_context, SSL_CTX* server_context)
      : client(SSL_new(client_context)), server(SSL_new(server_context)) {
    BIO *to_server = nullptr, *to_client = nullptr;
    EXPECT_EQ(BIO_new_bio_pair(&to_server, 0, &to_client, 0), 1);
    SSL_set_bio(client.get(), to_server, to_server);
    SSL_set_bio(server.get(), to_client, to_client);
    SSL_set_connect_state(client.get());
    SSL_set_accept_state(server.get());
  }

  // Runs until neither side can go on. The client sends "hello" as early as it is allowed to.
  void Run() {
    for (int round = 0; round < 20; ++round) {
      if (SSL_do_handshake(client.get()) == 1 && !sent) sent = SSL_write(client.get(), "hello", 5) == 5;
      char buffer[16];
      if (const int size = SSL_read(server.get(), buffer, sizeof buffer); size > 0)
        received.assign(buffer, static_cast<std::size_t>(size));
      if (sent) {
        if (const int size = SSL_read(client.get(), buffer, sizeof buffer); size <= 0)
          client_alert |= SSL_get_error(client.get(), size) == SSL_ERROR_SSL;
      }
      ERR_clear_error();
    }
  }

  SslPtr client, server;
  bool sent = false;          // the client considered the handshake complete
  bool client_alert = false;  // and then learned that it was refused
  std::string received;       // what came out at the server
};

class TlsTest : public ::testing::Test {
 protected:
  TlsContext Context(TlsRole role, const X509Svid& svid, PeerAuthorizer authorize, TimePoint now = Now()) {
    return Get(TlsContext::Create({role, svid, bundles_, std::move(authorize), [now] { return now; }}));
  }

  Authority authority_;
  Authority other_{"other.org"};
  std::shared_ptr<const BundleSet> bundles_ =
      std::make_shared<BundleSet>(std::vector<Bundle>{authority_.bundle, other_.bundle});
  X509Svid agent_ = authority_.Issue("/agent");
  X509Svid tool_ = authority_.Issue("/tool");
};

TEST_F(TlsTest, EachSideLearnsTheOthersId) {
  const TlsContext client = Context(TlsRole::kClient, agent_, AuthorizeId(tool_.id()));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  Connection connection(client.native(), server.native());
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kFailedPrecondition, "not been verified"));
  connection.Run();
  EXPECT_EQ(connection.received, "hello");
  EXPECT_EQ(Get(PeerId(connection.client.get())), tool_.id());
  EXPECT_EQ(Get(PeerId(connection.server.get())), agent_.id());
  EXPECT_EQ(SSL_version(connection.client.get()), TLS1_3_VERSION);
}

TEST_F(TlsTest, FederatedPeersAndIntermediatesWork) {
  const OpensslCli cli;
  cli.MakeCertificate("root", "", kCaExtensions, "/O=Root");
  cli.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
  const Issuer issuer = Get(Issuer::Create({ReadCertificate(cli, "ca")}, ReadKey(cli, "ca")));
  const X509Svid far = Get(issuer.IssueLeaf({Id("spiffe://far.org/x"), KeyType::kEcP384, {}, Now(), Now() + hours(1)}));
  bundles_ = std::make_shared<BundleSet>(
      std::vector<Bundle>{authority_.bundle, Get(Bundle::Create(Td("far.org"), {ReadCertificate(cli, "root")}))});
  const TlsContext client = Context(TlsRole::kClient, far, AuthorizeId(tool_.id()), Now() + seconds(1));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeId(far.id()), Now() + seconds(1));
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "hello");
}

TEST_F(TlsTest, ClientRefusesAWrongServerBeforeSendingAnything) {
  const TlsContext client = Context(TlsRole::kClient, agent_, AuthorizeId(Id("spiffe://example.org/expected")));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_FALSE(connection.sent);
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.client.get()),
              FailsWith(StatusCode::kPermissionDenied, "only spiffe://example.org/expected is expected"));
}

TEST_F(TlsTest, ServerRefusesAWrongClientBeforeReadingItsData) {
  const TlsContext client = Context(TlsRole::kClient, agent_, AuthorizeId(tool_.id()));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td("other.org")));
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_TRUE(connection.client_alert);
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kPermissionDenied, "only members of other.org"));
}

TEST_F(TlsTest, ExpiredPeersAreRefused) {
  const X509Svid old = authority_.Issue("/agent", Now() - minutes(30), Now() - minutes(10));
  const TlsContext client = Context(TlsRole::kClient, old, AuthorizeId(tool_.id()));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kUnauthenticated, "expired"));
}

TEST_F(TlsTest, PeersOfUnknownTrustDomainsAreRefusedWhateverTheAuthorizerSays) {
  const Authority stranger("stranger.org");
  const PeerAuthorizer anybody = [](const SpiffeId&) { return OkStatus(); };
  const TlsContext client = Context(TlsRole::kClient, stranger.Issue("/x"), anybody);
  const TlsContext server = Context(TlsRole::kServer, tool_, anybody);
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()),
              FailsWith(StatusCode::kUnauthenticated, "no bundle for trust domain stranger.org"));
}

TEST_F(TlsTest, AForeignAuthorityCannotImpersonateAMember) {
  // other.org's CA is in the bundle set; without a SPIFFE ID of its own it would sign anything
  const OpensslCli cli;
  cli.MakeCertificate("ca", "", kCaExtensions, "/O=Ca");
  const Issuer forger = Get(Issuer::Create({ReadCertificate(cli, "ca")}, ReadKey(cli, "ca")));
  const X509Svid forged =
      Get(forger.IssueLeaf({agent_.id(), KeyType::kEcP256, {}, Now() - minutes(1), Now() + hours(1)}));
  bundles_ = std::make_shared<BundleSet>(
      std::vector<Bundle>{authority_.bundle, Get(Bundle::Create(Td("other.org"), {ReadCertificate(cli, "ca")}))});
  const TlsContext client = Context(TlsRole::kClient, forged, AuthorizeId(tool_.id()), Now() + seconds(1));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeId(agent_.id()), Now() + seconds(1));
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kUnauthenticated, "verify X.509-SVID"));
}

TEST_F(TlsTest, AClientWithoutCertificateIsRefused) {
  const SslCtxPtr bare(SSL_CTX_new(TLS_client_method()));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  Connection connection(bare.get(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_FALSE(PeerId(connection.server.get()).ok());
}

TEST_F(TlsTest, OldProtocolVersionsAreRefused) {
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  const TlsContext client = Context(TlsRole::kClient, agent_, AuthorizeId(tool_.id()));
  Connection connection(client.native(), server.native());
  EXPECT_EQ(SSL_get_min_proto_version(connection.server.get()), TLS1_3_VERSION);
  SSL_set_min_proto_version(connection.client.get(), TLS1_2_VERSION);
  SSL_set_max_proto_version(connection.client.get(), TLS1_2_VERSION);
  connection.Run();
  EXPECT_EQ(connection.received, "");
}

TEST_F(TlsTest, NoSessionIsEverResumed) {
  // A client that wants to resume: its own cache is on and it accepts tickets
  const TlsContext client = Context(TlsRole::kClient, agent_, AuthorizeId(tool_.id()));
  SSL_CTX_set_session_cache_mode(client.native(), SSL_SESS_CACHE_CLIENT);
  SSL_CTX_clear_options(client.native(), SSL_OP_NO_TICKET);
  int judged = 0;
  const TlsContext server = Context(TlsRole::kServer, tool_, [&judged](const SpiffeId&) {
    ++judged;
    return OkStatus();
  });
  Connection first(client.native(), server.native());
  first.Run();
  EXPECT_EQ(first.received, "hello");
  SSL_SESSION* session = SSL_get1_session(first.client.get());
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(SSL_SESSION_is_resumable(session), 0);

  Connection second(client.native(), server.native());
  SSL_set_session(second.client.get(), session);
  SSL_SESSION_free(session);
  second.Run();
  EXPECT_EQ(second.received, "hello");
  EXPECT_EQ(SSL_session_reused(second.client.get()), 0);
  EXPECT_EQ(judged, 2);  // each connection was checked anew
  EXPECT_EQ(SSL_CTX_sess_number(server.native()), 0);
}

TEST_F(TlsTest, AConnectionOutlivesTheContextThatMadeIt) {
  auto client = std::make_unique<TlsContext>(Context(TlsRole::kClient, agent_, AuthorizeId(tool_.id())));
  auto server = std::make_unique<TlsContext>(Context(TlsRole::kServer, tool_, AuthorizeId(agent_.id())));
  Connection connection(client->native(), server->native());
  client.reset();
  server.reset();
  connection.Run();
  EXPECT_EQ(connection.received, "hello");
}

TEST_F(TlsTest, NothingIsOptional) {
  const PeerAuthorizer anybody = [](const SpiffeId&) { return OkStatus(); };
  const auto clock = [] { return Now(); };
  EXPECT_THAT(TlsContext::Create({TlsRole::kServer, tool_, nullptr, anybody, clock}), Refused("all required"));
  EXPECT_THAT(TlsContext::Create({TlsRole::kServer, tool_, bundles_, nullptr, clock}), Refused("all required"));
  EXPECT_THAT(TlsContext::Create({TlsRole::kServer, tool_, bundles_, anybody, nullptr}), Refused("all required"));
}

TEST_F(TlsTest, ACertificateOfTheRightAuthorityThatIsNoSvidIsRefused) {
  // With the signature of the right CA, but a DNS name in place of a SPIFFE ID
  const OpensslCli cli;
  cli.Write("ca.crt", authority_.root.certificate.ToPem());
  cli.Write("ca.key", Get(authority_.root.key.ToPem()).expose());
  cli.MakeCertificate("nosvid", "ca", kLeafExtensions + "subjectAltName=DNS:agent\n");
  const SslCtxPtr bare(SSL_CTX_new(TLS_client_method()));
  ASSERT_EQ(SSL_CTX_use_certificate_file(bare.get(), cli.Path("nosvid.crt").c_str(), SSL_FILETYPE_PEM), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey_file(bare.get(), cli.Path("nosvid.key").c_str(), SSL_FILETYPE_PEM), 1);
  const TlsContext server = Context(
      TlsRole::kServer, tool_, [](const SpiffeId&) { return OkStatus(); }, Now() + seconds(1));
  Connection connection(bare.get(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), Refused("0 URI SANs"));
}

}  // namespace
}  // namespace lanyard::testing
