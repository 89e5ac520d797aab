#include "pki/issuer.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "pki/verifier.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

LeafRequest Ask(std::string_view id) {
  return {Id(id), KeyType::kEcP256, {}, Now() - minutes(1), Now() + hours(1)};
}

// openssl verify in its strictest mode, trusting `root` only, with the rest of the SVID's chain as it is presented.
OpensslCli::Outcome StrictVerify(const OpensslCli& cli, const X509Svid& svid, const Certificate& root,
                                 const std::string& purpose) {
  std::string rest;
  for (std::size_t i = 1; i < svid.chain().size(); ++i) rest += svid.chain()[i].ToPem();
  cli.Write("root.pem", root.ToPem());
  cli.Write("rest.pem", rest);
  cli.Write("leaf.pem", svid.leaf().ToPem());
  return cli.Try("verify -x509_strict -purpose " + purpose + " -CAfile root.pem " +
                 (rest.empty() ? "" : "-untrusted rest.pem ") + "leaf.pem");
}

TEST(IssuerTest, EveryKindOfLeafUnderEveryKindOfRootPassesStrictOpensslVerify) {
  const OpensslCli cli;
  for (const KeyType root_type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const Authority authority("example.org", root_type);
    for (const KeyType leaf_type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
      const X509Svid svid = authority.Issue("/ns/shop/sa/refund", Now() - minutes(1), Now() + hours(1), leaf_type);
      SCOPED_TRACE(std::string(KeyTypeName(leaf_type)) + " under " + std::string(KeyTypeName(root_type)));
      for (const char* purpose : {"sslclient", "sslserver"}) {
        const OpensslCli::Outcome outcome = StrictVerify(cli, svid, authority.root.certificate, purpose);
        EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
      }
      EXPECT_EQ(Get(VerifyX509Svid(svid.chain(), BundleSet({authority.bundle}), Now())), svid.id());
      EXPECT_EQ(svid.key().type(), leaf_type);
    }
  }
}

TEST(IssuerTest, TemplateAndOpensslWriteTheSameProfile) {
  const Authority fast, slow("example.org", KeyType::kEcP384);
  const OpensslCli cli;
  const auto text = [&cli](const Authority& authority) {
    LeafRequest request = Ask("spiffe://example.org/a");
    request.dns_names = {"a.example"};
    cli.Write("leaf.pem", Get(authority.issuer.IssueLeaf(request)).leaf().ToPem());
    std::string shown = cli.Run(
        "x509 -in leaf.pem -noout -text -certopt no_serial,no_sigdump,no_pubkey,no_signame,no_validity -subject");
    std::string kept;
    std::size_t lines = 0;
    for (std::size_t at = 0; at < shown.size();) {
      const std::size_t end = shown.find('\n', at);
      const std::string line = shown.substr(at, end - at);
      // Key identifiers differ with the key
      if (std::count(line.begin(), line.end(), ':') < 10) kept += line + "\n", ++lines;
      at = end + 1;
    }
    EXPECT_GT(lines, 10u);
    return kept;
  };
  const std::string by_template = text(fast);
  EXPECT_THAT(by_template, HasSubstr("O = Lanyard"));
  EXPECT_THAT(by_template, HasSubstr("URI:spiffe://example.org/a, DNS:a.example"));
  EXPECT_EQ(by_template, text(slow));
}

TEST(IssuerTest, IssuedSvidPassesTheProfileFromItsBytes) {
  const Authority authority;
  const X509Svid svid = authority.Issue("/a");
  const std::vector<Certificate> chain = Get(Certificate::ListFromDer(svid.ChainDer()));
  const PrivateKey key = Get(PrivateKey::FromPkcs8Der(Get(svid.key().ToPkcs8Der()).expose()));
  EXPECT_EQ(Get(X509Svid::Create(chain, key)).id(), Id("spiffe://example.org/a"));
  EXPECT_THAT(chain, ElementsAre(svid.leaf()));  // a self-signed root is not passed on
}

TEST(IssuerTest, DnsNamesAreWrittenOnBothWays) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384}) {
    const Authority authority("example.org", type);
    LeafRequest request = Ask("spiffe://example.org/a");
    request.dns_names = {"refund.shop.svc", "refund"};
    const X509Svid svid = Get(authority.issuer.IssueLeaf(request));
    EXPECT_THAT(Get(Certificate::FromDer(svid.leaf().der())).dns_sans(), ElementsAre("refund.shop.svc", "refund"));
    request.dns_names = {"*.example.org"};
    EXPECT_THAT(authority.issuer.IssueLeaf(request), Refused("wildcard"));
    request.dns_names.assign(65, "a");
    EXPECT_THAT(authority.issuer.IssueLeaf(request), Refused("65 DNS names"));
  }
}

TEST(IssuerTest, ALeafNeverOutlivesItsIssuer) {
  const Authority authority;
  const X509Svid svid = authority.Issue("/a", Now(), Now() + hours(24 * 365));
  EXPECT_EQ(svid.not_after(), authority.root.certificate.not_after());
}

TEST(IssuerTest, ALeafNeverOutlivesAnyCertificateAboveItsIssuer) {
  const OpensslCli cli;
  cli.MakeCertificate("root", "", kCaExtensions, "/O=Root", "10");
  cli.MakeCertificate("mid", "root", kCaExtensions, "/O=Mid", "5");
  cli.MakeCertificate("low", "mid", kCaExtensions + Uri("spiffe://example.org"), "/O=Low", "20");
  const Issuer issuer = Get(Issuer::Create(
      {ReadCertificate(cli, "low"), ReadCertificate(cli, "mid"), ReadCertificate(cli, "root")}, ReadKey(cli, "low")));
  LeafRequest request = Ask("spiffe://example.org/a");
  request.not_after = Now() + hours(24 * 365);
  const X509Svid svid = Get(issuer.IssueLeaf(request));
  EXPECT_EQ(svid.not_after(), ReadCertificate(cli, "mid").not_after());
  EXPECT_EQ(issuer.not_after(), svid.not_after());
  // Intermediates follow the leaf, the self-signed root does not
  EXPECT_THAT(svid.chain(), ElementsAre(svid.leaf(), ReadCertificate(cli, "low"), ReadCertificate(cli, "mid")));
  const OpensslCli::Outcome outcome = StrictVerify(cli, svid, ReadCertificate(cli, "root"), "sslserver");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

TEST(IssuerTest, FractionsOfASecondAreCutOff) {
  const Authority authority;
  const X509Svid svid =
      authority.Issue("/a", Now() + std::chrono::milliseconds(999), Now() + hours(1) + std::chrono::milliseconds(1));
  EXPECT_EQ(svid.not_before(), Now());
  EXPECT_EQ(svid.not_after(), Now() + hours(1));
}

TEST(IssuerTest, RefusesIdsThatItMayNotSign) {
  const Authority authority;
  EXPECT_THAT(authority.issuer.IssueLeaf(Ask("spiffe://example.org")), Refused("has no path"));
  EXPECT_THAT(authority.issuer.IssueLeaf(Ask("spiffe://example.com/a")),
              Refused("belongs to trust domain example.org"));
  EXPECT_THAT(authority.issuer.IssueLeaf(Ask("spiffe://sub.example.org/a")),
              Refused("belongs to trust domain example.org"));
}

TEST(IssuerTest, RefusesDatesThatMakeNoSense) {
  const Authority authority;
  LeafRequest request = Ask("spiffe://example.org/a");
  request.not_after = request.not_before;
  EXPECT_THAT(authority.issuer.IssueLeaf(request), Refused("end before it begins"));
  request.not_before = Now() + hours(48);
  request.not_after = Now() + hours(49);
  EXPECT_THAT(authority.issuer.IssueLeaf(request), FailsWith(StatusCode::kFailedPrecondition, "has expired"));
}

TEST(IssuerTest, HonoursNameConstraintsOfItsChain) {
  const OpensslCli cli;
  cli.MakeCertificate("root", "", kCaExtensions + "nameConstraints=critical,permitted;URI:example.org\n", "/O=Root");
  cli.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
  const Issuer issuer =
      Get(Issuer::Create({ReadCertificate(cli, "ca"), ReadCertificate(cli, "root")}, ReadKey(cli, "ca")));
  EXPECT_TRUE(issuer.IssueLeaf(Ask("spiffe://example.org/a")).ok());
  EXPECT_THAT(issuer.IssueLeaf(Ask("spiffe://example.com/a")),
              FailsWith(StatusCode::kFailedPrecondition, "name constraints"));
}

class IssuerCreateTest : public ::testing::Test {
 protected:
  Result<Issuer> Create(const std::string& extensions) {
    cli_.MakeCertificate("x", "", extensions);
    return Issuer::Create({ReadCertificate(cli_, "x")}, ReadKey(cli_, "x"));
  }
  OpensslCli cli_;
};

TEST_F(IssuerCreateTest, WantsACertificateThatMaySign) {
  EXPECT_TRUE(Create(kCaExtensions).ok());
  EXPECT_THAT(Create(kLeafExtensions), Refused("is not a CA"));
  EXPECT_THAT(Create("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\n"),
              Refused("lacks keyCertSign"));
  EXPECT_THAT(Create(kCaExtensions + Uri("spiffe://example.org/ca")), Refused("has a path"));
  EXPECT_THAT(Issuer::Create({}, Get(PrivateKey::Generate(KeyType::kEcP256))), Refused("no certificate"));
}

TEST_F(IssuerCreateTest, WantsTheCertificatesOwnKey) {
  cli_.MakeCertificate("x", "", kCaExtensions);
  EXPECT_THAT(Issuer::Create({ReadCertificate(cli_, "x")}, Get(PrivateKey::Generate(KeyType::kEcP256))),
              Refused("does not belong"));
}

TEST_F(IssuerCreateTest, WantsAChainInOrder) {
  cli_.MakeCertificate("root", "", kCaExtensions, "/O=Root");
  cli_.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
  cli_.MakeCertificate("false", "", kCaExtensions, "/O=Root");  // same name, other key
  const Certificate root = ReadCertificate(cli_, "root"), ca = ReadCertificate(cli_, "ca"),
                    impostor = ReadCertificate(cli_, "false");
  EXPECT_TRUE(Issuer::Create({ca, root}, ReadKey(cli_, "ca")).ok());
  EXPECT_THAT(Get(Issuer::Create({ca}, ReadKey(cli_, "ca"))).chain_tail(), ElementsAre(ca));
  EXPECT_THAT(Get(Issuer::Create({root}, ReadKey(cli_, "root"))).chain_tail(), IsEmpty());
  EXPECT_THAT(Issuer::Create({ca, impostor}, ReadKey(cli_, "ca")), Refused("not signed by certificate 2"));
  EXPECT_THAT(Issuer::Create({root, ca}, ReadKey(cli_, "root")), Refused("not signed by certificate 2"));
  EXPECT_THAT(Issuer::Create({root, root}, ReadKey(cli_, "root")), Refused("is a root, but others follow"));
}

TEST_F(IssuerCreateTest, RefusesAViolatedPathLength) {
  const std::string zero =
      "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n";
  cli_.MakeCertificate("root", "", zero, "/O=Root");
  cli_.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
  EXPECT_TRUE(Issuer::Create({ReadCertificate(cli_, "root")}, ReadKey(cli_, "root")).ok());
  EXPECT_THAT(Issuer::Create({ReadCertificate(cli_, "ca"), ReadCertificate(cli_, "root")}, ReadKey(cli_, "ca")),
              Refused("path length 0"));
}

TEST(IssuerTest, ManyThreadsIssueAtOnce) {
  const Authority authority;
  const BundleSet bundles({authority.bundle});
  std::vector<std::thread> threads;
  std::atomic<int> verified = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&authority, &bundles, &verified, t] {
      for (int i = 0; i < 50; ++i) {
        const X509Svid svid = authority.Issue("/" + std::to_string(t) + "/" + std::to_string(i));
        if (VerifyX509Svid(svid.chain(), bundles, Now()).ok()) ++verified;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(verified, 200);
}

TEST(IssuerTest, ReadingTheSameIssuedCertificateFromManyThreadsIsSafe) {
  const Authority authority;
  const X509Svid svid = authority.Issue("/a");
  std::vector<std::thread> threads;
  std::atomic<int> equal = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&svid, &equal] {
      if (Get(Certificate::FromNative(svid.leaf().native())) == svid.leaf()) ++equal;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, 4);
}

}  // namespace
}  // namespace lanyard::testing
