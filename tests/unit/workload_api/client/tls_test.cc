#include "workload_api/client/tls.h"

#include <openssl/ssl.h>

#include "pki/openssl_ptr.h"
#include "tests/unit/workload_api/client/tls_pair.h"

namespace lanyard::testing {
namespace {

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
  bundles_ = {authority_.bundle, Get(Bundle::Create(Td("far.org"), {ReadCertificate(cli, "root")}))};
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
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kPermissionDenied, "only a member of other.org"));
}

TEST_F(TlsTest, ExpiredPeersAreRefused) {
  const X509Svid old = authority_.Issue("/agent", Now() - minutes(30), Now() - minutes(10));
  const SslCtxPtr client = Bare(TlsRole::kClient, old);
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  Connection connection(client.get(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kUnauthenticated, "expired"));
}

TEST_F(TlsTest, PeersOfUnknownTrustDomainsAreRefusedWhateverTheAuthorizerSays) {
  const Authority stranger("stranger.org");
  const SslCtxPtr client = Bare(TlsRole::kClient, stranger.Issue("/x"));
  const TlsContext server = Context(TlsRole::kServer, tool_, Anybody());
  Connection connection(client.get(), server.native());
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
  bundles_ = {authority_.bundle, Get(Bundle::Create(Td("other.org"), {ReadCertificate(cli, "ca")}))};
  const SslCtxPtr client = Bare(TlsRole::kClient, forged);
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeId(agent_.id()), Now() + seconds(1));
  Connection connection(client.get(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kUnauthenticated, "verify X.509-SVID"));
}

TEST_F(TlsTest, AClientWithoutCertificateIsRefused) {
  const SslCtxPtr nobody(SSL_CTX_new(TLS_client_method()));
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td()));
  Connection connection(nobody.get(), server.native());
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

TEST_F(TlsTest, WhereTls12IsAllowedItsSessionsAreNotResumedEither) {
  const TlsContext server = Get(TlsContext::Create({.role = TlsRole::kServer,
                                                    .source = Has(tool_).source,
                                                    .authorize = Anybody(),
                                                    .min_version = TlsVersion::kTls12,
                                                    .wall_clock = {}}));
  const SslCtxPtr client = Bare(TlsRole::kClient, agent_);
  SSL_CTX_set_max_proto_version(client.get(), TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(client.get(), SSL_SESS_CACHE_CLIENT);
  Connection first(client.get(), server.native());
  first.Run();
  EXPECT_EQ(first.received, "hello");
  EXPECT_EQ(SSL_version(first.server.get()), TLS1_2_VERSION);
  SSL_SESSION* session = SSL_get1_session(first.client.get());
  ASSERT_NE(session, nullptr);

  Connection second(client.get(), server.native());
  SSL_set_session(second.client.get(), session);
  SSL_SESSION_free(session);
  second.Run();
  EXPECT_EQ(second.received, "hello");
  EXPECT_EQ(SSL_session_reused(second.server.get()), 0);
  EXPECT_EQ(Get(PeerId(second.server.get())), agent_.id());
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

TEST_F(TlsTest, SourceAndAuthorizerAreRequired) {
  const auto source = Has(tool_).source;
  EXPECT_THAT(TlsContext::Create({.source = nullptr, .authorize = Anybody(), .wall_clock = {}}),
              Refused("both required"));
  EXPECT_THAT(TlsContext::Create({.source = source, .authorize = nullptr, .wall_clock = {}}), Refused("both required"));
}

TEST_F(TlsTest, EachHandshakeShowsTheNewestSvid) {
  Workload& workload = Has(tool_);
  const TlsContext server =
      Get(TlsContext::Create({.source = workload.source, .authorize = Anybody(), .wall_clock = {}}));
  const TlsContext client = Context(TlsRole::kClient, agent_, AuthorizeMemberOf(Td()));
  const auto shown = [&] {
    Connection connection(client.native(), server.native());
    connection.Run();
    EXPECT_EQ(connection.received, "hello");
    const X509Ptr peer(SSL_get1_peer_certificate(connection.client.get()));
    return Get(Certificate::FromNative(peer.get())).serial_hex();
  };
  EXPECT_EQ(shown(), tool_.serial_hex());
  const X509Svid next = authority_.Issue("/tool");
  const std::uint64_t before = Get(workload.source->Snapshot())->version;
  workload.api.Say({SvidMessage(next, authority_.bundle)}, bundles_);
  for (std::uint64_t version = before; Get(workload.source->Svid()).serial_hex() != next.serial_hex();)
    version = Get(workload.source->WaitNewer(version, kPatience))->version;
  EXPECT_EQ(shown(), next.serial_hex());
}

TEST_F(TlsTest, WithoutAnIdentityEveryHandshakeFailsAndSaysWhy) {
  Workload& workload = Has(tool_);
  const TlsContext server =
      Get(TlsContext::Create({.source = workload.source, .authorize = Anybody(), .wall_clock = {}}));
  const TlsContext client = Context(TlsRole::kClient, agent_, Anybody());
  workload.api.Refuse({grpc::StatusCode::PERMISSION_DENIED, "taken back"});
  for (std::uint64_t version = 0; workload.source->Svid().ok();)
    version = Get(workload.source->WaitNewer(version, kPatience))->version;
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kPermissionDenied, "taken back"));

  workload.source->Close();
  Connection closed(client.native(), server.native());
  closed.Run();
  EXPECT_THAT(PeerId(closed.server.get()), FailsWith(StatusCode::kFailedPrecondition, "closed"));
  EXPECT_THAT(ConnectionError(closed.server.get(), "TLS handshake"),
              FailsWith(StatusCode::kFailedPrecondition, "TLS handshake: the source is closed"));
}

TEST_F(TlsTest, TheErrorOfAConnectionIsTheVerifiersReasonOnOneSideAndTheAlertOnTheOther) {
  const TlsContext server = Context(TlsRole::kServer, tool_, AuthorizeMemberOf(Td("other.org")));
  const TlsContext client = Context(TlsRole::kClient, agent_, Anybody());
  Connection connection(client.native(), server.native());
  SSL_do_handshake(connection.client.get());
  SSL_do_handshake(connection.server.get());
  ASSERT_EQ(SSL_do_handshake(connection.client.get()), 1);  // done, before the server has seen the certificate
  ASSERT_NE(SSL_do_handshake(connection.server.get()), 1);
  EXPECT_THAT(ConnectionError(connection.server.get(), "TLS handshake"),
              FailsWith(StatusCode::kPermissionDenied, "TLS handshake: peer spiffe://example.org/agent"));
  ERR_clear_error();
  char byte = 0;
  ASSERT_LE(SSL_read(connection.client.get(), &byte, 1), 0);
  EXPECT_THAT(ConnectionError(connection.client.get(), "receive"),
              FailsWith(StatusCode::kUnauthenticated, "receive: "));
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST_F(TlsTest, APeerIsNobodyUntilItHasProvedThatItHasTheKeyOfItsCertificate) {
  bool judged = false;
  const TlsContext server = Context(TlsRole::kServer, tool_, [&judged](const SpiffeId&) {
    judged = true;
    return OkStatus();
  });
  const TlsContext client = Context(TlsRole::kClient, agent_, Anybody());
  Connection connection(client.native(), server.native());
  SSL* ours = connection.server.get();
  SSL_do_handshake(connection.client.get());
  SSL_do_handshake(ours);
  ASSERT_EQ(SSL_do_handshake(connection.client.get()), 1);
  // The certificate, the proof and the end of the handshake, a byte at a time
  char last[8192];
  const int size = BIO_read(SSL_get_rbio(ours), last, sizeof last);
  BIO* bytes = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(bytes, -1);  // more may come
  SSL_set0_rbio(ours, bytes);
  int unproved = 0;
  for (int at = 0; at < size && SSL_do_handshake(ours) != 1; ++at) {
    ASSERT_THAT(PeerId(ours), FailsWith(StatusCode::kFailedPrecondition, "not been verified")) << at << " bytes";
    unproved += judged ? 1 : 0;
    ASSERT_EQ(BIO_write(bytes, &last[at], 1), 1);
  }
  EXPECT_GT(unproved, 0) << "its certificate must have been judged before the end";
  ASSERT_EQ(SSL_do_handshake(ours), 1);
  EXPECT_EQ(Get(PeerId(ours)), agent_.id());
}

TEST_F(TlsTest, AnAuthorizerThatThrowsRefuses) {
  const TlsContext server = Context(TlsRole::kServer, tool_, [](const SpiffeId&) -> Status { throw 1; });
  const TlsContext client = Context(TlsRole::kClient, agent_, Anybody());
  Connection connection(client.native(), server.native());
  connection.Run();
  EXPECT_EQ(connection.received, "");
  EXPECT_THAT(PeerId(connection.server.get()), FailsWith(StatusCode::kPermissionDenied, "threw an exception"));
}

TEST_F(TlsTest, ARootThatLeavesTheBundleIsRefusedOnTheNextConnection) {
  Workload& workload = Has(tool_);
  const TlsContext server =
      Get(TlsContext::Create({.source = workload.source, .authorize = Anybody(), .wall_clock = {}}));
  const TlsContext client = Context(TlsRole::kClient, other_.Issue("/agent"), Anybody());
  Connection before(client.native(), server.native());
  before.Run();
  EXPECT_EQ(before.received, "hello");
  workload.api.Say({SvidMessage(tool_, authority_.bundle)}, {authority_.bundle});
  for (std::uint64_t version = 0; Get(workload.source->Snapshot())->bundles.all().size() > 1;)
    version = Get(workload.source->WaitNewer(version, kPatience))->version;
  Connection after(client.native(), server.native());
  after.Run();
  EXPECT_EQ(after.received, "");
  EXPECT_THAT(PeerId(after.server.get()),
              FailsWith(StatusCode::kUnauthenticated, "no bundle for trust domain other.org"));
}

}  // namespace
}  // namespace lanyard::testing
