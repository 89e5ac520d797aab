// Peers as an attacker or a mistake would make them: certificates by the openssl program, shown by plain OpenSSL, as a
// client and as a server. Each is one that would be let in but for one thing.
#include <openssl/ssl.h>

#include "tests/unit/workload_api/client/tls_pair.h"

namespace lanyard::testing {
namespace {

class TlsPeersTest : public TlsTest {
 protected:
  TlsPeersTest() {
    cli_.MakeCertificate("ca", "", kCaExtensions, "/O=Root");
    cli_.MakeCertificate("stranger", "", kCaExtensions, "/O=Stranger");
    bundles_ = {Get(Bundle::Create(Td(), {ReadCertificate(cli_, "ca")})), other_.bundle};
  }

  // Plain OpenSSL with NAME.key and the certificates of `chain`, the leaf first.
  SslCtxPtr Shows(TlsRole role, const std::string& name, const std::vector<std::string>& chain = {}) const {
    SslCtxPtr context(SSL_CTX_new(role == TlsRole::kServer ? TLS_server_method() : TLS_client_method()));
    std::string pem = cli_.Read(name + ".crt");
    for (const std::string& one : chain) pem += cli_.Read(one + ".crt");
    cli_.Write(name + ".chain", pem);
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context.get(), cli_.Path(name + ".chain").c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context.get(), cli_.Path(name + ".key").c_str(), SSL_FILETYPE_PEM), 1);
    return context;
  }
  std::string Leaf(const std::string& id = "spiffe://example.org/agent") const { return kLeafExtensions + Uri(id); }

  // This library's end, whose clock is `ahead_` of the peer's: openssl's certificates begin now.
  TlsContext Ours(TlsRole role) {
    if (ours_ == nullptr) {
      const Issuer issuer = Get(Issuer::Create({ReadCertificate(cli_, "ca")}, ReadKey(cli_, "ca")));
      ours_ =
          &Has(Get(issuer.IssueLeaf({Id("spiffe://example.org/ours"), KeyType::kEcP256, {}, Now(), Now() + hours(1)})));
    }
    const auto clock = [ahead = ahead_] { return Now() + ahead; };
    return Get(
        TlsContext::Create({.role = role, .source = ours_->source, .authorize = Anybody(), .wall_clock = clock}));
  }
  // In both roles the peer gets no byte out of us or into us, and the error says `why`.
  void RefusedAs(StatusCode code, const std::string& why, const std::string& name,
                 const std::vector<std::string>& chain = {}) {
    const TlsContext server = Ours(TlsRole::kServer), client = Ours(TlsRole::kClient);
    Connection as_client(Shows(TlsRole::kClient, name, chain).get(), server.native());
    as_client.Run();
    EXPECT_EQ(as_client.received, "");
    EXPECT_THAT(PeerId(as_client.server.get()), FailsWith(code, why));
    Connection as_server(client.native(), Shows(TlsRole::kServer, name, chain).get());
    as_server.Run();
    EXPECT_FALSE(as_server.sent);
    EXPECT_THAT(PeerId(as_server.client.get()), FailsWith(code, why));
  }

  const OpensslCli cli_;
  Workload* ours_ = nullptr;
  seconds ahead_{2};
};

constexpr StatusCode kNoSvid = StatusCode::kInvalidArgument, kNotVouchedFor = StatusCode::kUnauthenticated;

TEST_F(TlsPeersTest, WhatTheOthersAreButForOneThingIsLetIn) {
  cli_.MakeCertificate("good", "ca", Leaf());
  const TlsContext server = Ours(TlsRole::kServer), client = Ours(TlsRole::kClient);
  Connection as_client(Shows(TlsRole::kClient, "good").get(), server.native());
  as_client.Run();
  EXPECT_EQ(as_client.received, "hello");
  EXPECT_EQ(Get(PeerId(as_client.server.get())).str(), "spiffe://example.org/agent");
  Connection as_server(client.native(), Shows(TlsRole::kServer, "good").get());
  as_server.Run();
  EXPECT_TRUE(as_server.sent);
}

TEST_F(TlsPeersTest, WithoutAUriNameIsRefused) {
  cli_.MakeCertificate("none", "ca", kLeafExtensions + "subjectAltName=DNS:agent\n");
  RefusedAs(kNoSvid, "0 URI SANs", "none");
}

TEST_F(TlsPeersTest, WithTwoUriNamesIsRefused) {
  cli_.MakeCertificate("two", "ca",
                       kLeafExtensions + "subjectAltName=URI:spiffe://example.org/agent,URI:spiffe://example.org/b\n");
  RefusedAs(kNoSvid, "2 URI SANs", "two");
}

TEST_F(TlsPeersTest, WithAUriNameThatIsNoSpiffeIdIsRefused) {
  cli_.MakeCertificate("upper", "ca", Leaf("spiffe://Example.org/agent"));
  RefusedAs(kNoSvid, "verify X.509-SVID", "upper");
  cli_.MakeCertificate("http", "ca", Leaf("https://example.org/agent"));
  RefusedAs(kNoSvid, "verify X.509-SVID", "http");
}

TEST_F(TlsPeersTest, AnotherTrustDomainsIdUnderOurCaIsRefused) {
  cli_.MakeCertificate("foreign", "ca", Leaf("spiffe://other.org/agent"));
  RefusedAs(kNotVouchedFor, "verify X.509-SVID spiffe://other.org/agent", "foreign");
}

TEST_F(TlsPeersTest, OurIdUnderAStrangersCaIsRefused) {
  cli_.MakeCertificate("forged", "stranger", Leaf());
  RefusedAs(kNotVouchedFor, "verify X.509-SVID", "forged", {"stranger"});
}

TEST_F(TlsPeersTest, ALeafThatMaySignCertificatesIsRefused) {
  cli_.MakeCertificate("caleaf", "ca", kCaExtensions + Uri("spiffe://example.org/agent"));
  RefusedAs(kNoSvid, "CA", "caleaf");
}

TEST_F(TlsPeersTest, AnExpiredOneIsRefused) {
  cli_.MakeCertificate("old", "ca", Leaf(), "/O=Old", "1");
  ahead_ = hours(48);
  RefusedAs(kNotVouchedFor, "certificate 0 of the path: certificate has expired", "old");
}

TEST_F(TlsPeersTest, OneThatIsNotYetValidIsRefused) {
  cli_.MakeCertificate("early", "ca", Leaf());
  ahead_ = -hours(48);
  RefusedAs(kNotVouchedFor, "certificate is not yet valid", "early");
}

TEST_F(TlsPeersTest, ARevokedOneIsRefused) {
  cli_.MakeCertificate("good", "ca", Leaf());
  cli_.MakeCertificate("bad", "ca", Leaf("spiffe://example.org/bad"));
  cli_.MakeCrl("list", "ca", {ReadCertificate(cli_, "bad").serial_hex()});
  crls_ = Get(Crl::ListFromPem(cli_.Read("list.crl")));
  RefusedAs(kNotVouchedFor, "it is revoked", "bad");
  const TlsContext server = Ours(TlsRole::kServer);
  Connection good(Shows(TlsRole::kClient, "good").get(), server.native());
  good.Run();
  EXPECT_EQ(good.received, "hello");
  EXPECT_TRUE(ours_->source->ChecksRevocation(Td()));
}

TEST_F(TlsPeersTest, OneForAnotherPurposeIsRefused) {
  cli_.MakeCertificate("email", "ca",
                       "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                       "extendedKeyUsage=emailProtection\n" +
                           Uri("spiffe://example.org/agent"));
  RefusedAs(kNoSvid, "xtended key usage", "email");
}

TEST_F(TlsPeersTest, AChainOfElevenIsRefused) {
  cli_.MakeCertificate("good", "ca", Leaf());
  RefusedAs(kNoSvid, "presented 11 certificates, at most 10", "good", std::vector<std::string>(10, "ca"));
}

}  // namespace
}  // namespace lanyard::testing
