#include "pki/verifier.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

constexpr StatusCode kUntrusted = StatusCode::kUnauthenticated;

// A root and whatever a test hangs below it, all made by the openssl program.
class VerifierTest : public ::testing::Test {
 protected:
  void SetUp() override { cli_.MakeCertificate("root", "", kCaExtensions + Uri("spiffe://example.org"), "/O=Root"); }

  std::vector<Certificate> Chain(const std::vector<std::string>& names) {
    std::vector<Certificate> chain;
    for (const std::string& name : names) chain.push_back(ReadCertificate(cli_, name));
    return chain;
  }
  Bundle BundleOf(const std::vector<std::string>& names, std::string_view trust_domain = "example.org") {
    return Get(Bundle::Create(Td(trust_domain), Chain(names)));
  }
  Result<SpiffeId> Verify(const std::vector<std::string>& names, KeyPurpose purpose = KeyPurpose::kAny) {
    return VerifyX509Svid(Chain(names), BundleSet({BundleOf({"root"})}), Now() + seconds(1), purpose);
  }
  void MakeLeaf(const std::string& issuer, const std::string& id = "spiffe://example.org/a") {
    cli_.MakeCertificate("leaf", issuer, kLeafExtensions + Uri(id));
  }

  OpensslCli cli_;
};

TEST_F(VerifierTest, AcceptsALeafOfTheRoot) {
  MakeLeaf("root");
  for (const KeyPurpose purpose : {KeyPurpose::kAny, KeyPurpose::kClient, KeyPurpose::kServer}) {
    EXPECT_EQ(Get(Verify({"leaf"}, purpose)), Id("spiffe://example.org/a"));
  }
  EXPECT_TRUE(Verify({"leaf", "root"}).ok());  // a peer may send the root along
}

TEST_F(VerifierTest, AcceptsAChainOfIntermediatesInAnyOrder) {
  cli_.MakeCertificate("mid", "root", kCaExtensions + Uri("spiffe://example.org"), "/O=Mid");
  cli_.MakeCertificate("low", "mid", kCaExtensions, "/O=Low");
  MakeLeaf("low");
  EXPECT_TRUE(Verify({"leaf", "low", "mid"}).ok());
  EXPECT_TRUE(Verify({"leaf", "mid", "low"}).ok());
  EXPECT_THAT(Verify({"leaf", "low"}), FailsWith(kUntrusted, "unable to get local issuer certificate"));
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, "unable to get local issuer certificate"));
}

TEST_F(VerifierTest, RefusesALeafOfAnotherRoot) {
  cli_.MakeCertificate("stranger", "", kCaExtensions + Uri("spiffe://example.org"), "/O=Stranger");
  MakeLeaf("stranger");
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, "certificate 0"));
  EXPECT_THAT(Verify({"leaf", "stranger"}), FailsWith(kUntrusted, "self-signed certificate"));
}

TEST_F(VerifierTest, RefusesAnImpostorWithTheRootsName) {
  cli_.MakeCertificate("impostor", "", kCaExtensions + Uri("spiffe://example.org"), "/O=Root");
  MakeLeaf("impostor");
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, ""));
  EXPECT_THAT(Verify({"leaf", "impostor"}), FailsWith(kUntrusted, ""));
}

TEST_F(VerifierTest, RefusesASelfSignedLeaf) {
  cli_.MakeCertificate("leaf", "", kLeafExtensions + Uri("spiffe://example.org/a"));
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, "self-signed"));
}

TEST_F(VerifierTest, ATrustDomainVouchesForItselfOnly) {
  cli_.MakeCertificate("other", "", kCaExtensions + Uri("spiffe://other.org"), "/O=Other");
  const BundleSet both({BundleOf({"root"}), BundleOf({"other"}, "other.org")});
  // The foreign CA is trusted for other.org, and signs an ID of example.org
  MakeLeaf("other");
  EXPECT_THAT(VerifyX509Svid(Chain({"leaf"}), both, Now()), FailsWith(kUntrusted, "spiffe://example.org/a"));
  EXPECT_THAT(VerifyX509Svid(Chain({"leaf", "other"}), both, Now()), FailsWith(kUntrusted, ""));
  MakeLeaf("other", "spiffe://other.org/a");
  EXPECT_TRUE(VerifyX509Svid(Chain({"leaf"}), both, Now() + seconds(1)).ok());
}

TEST_F(VerifierTest, RefusesATrustDomainWithoutBundleOrWithAnEmptyOne) {
  MakeLeaf("root");
  EXPECT_THAT(VerifyX509Svid(Chain({"leaf"}), BundleSet(), Now()),
              FailsWith(kUntrusted, "no bundle for trust domain example.org"));
  EXPECT_THAT(VerifyX509Svid(Chain({"leaf"}), BundleSet({BundleOf({})}), Now()),
              FailsWith(kUntrusted, "no X.509 authorities"));
}

TEST_F(VerifierTest, AnIntermediateOfAnotherTrustDomainCannotSpeakForThisOne) {
  cli_.MakeCertificate("guest", "root", kCaExtensions + Uri("spiffe://guest.org"), "/O=Guest");
  MakeLeaf("guest");
  EXPECT_THAT(Verify({"leaf", "guest"}), FailsWith(kUntrusted, "belongs to trust domain guest.org"));
  // Nor can it hide behind a certificate that names nobody
  cli_.MakeCertificate("mask", "guest", kCaExtensions, "/O=Mask");
  MakeLeaf("mask");
  EXPECT_THAT(Verify({"leaf", "mask", "guest"}), FailsWith(kUntrusted, "belongs to trust domain guest.org"));
}

TEST_F(VerifierTest, AnAuthorityOfTheBundleMayBelongToAnotherTrustDomain) {  // chained trust, SPIFFE-ID §3.1
  cli_.MakeCertificate("upstream", "", kCaExtensions + Uri("spiffe://corp.org"), "/O=Corp");
  cli_.MakeCertificate("ca", "upstream", kCaExtensions + Uri("spiffe://example.org"), "/O=Ca");
  MakeLeaf("ca");
  EXPECT_TRUE(VerifyX509Svid(Chain({"leaf", "ca"}), BundleSet({BundleOf({"upstream"})}), Now() + seconds(1)).ok());
}

TEST_F(VerifierTest, AnAuthorityNeedNotBeSelfSigned) {  // X509-SVID §6.1: SHOULD
  cli_.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
  MakeLeaf("ca");
  EXPECT_TRUE(VerifyX509Svid(Chain({"leaf"}), BundleSet({BundleOf({"ca"})}), Now() + seconds(1)).ok());
}

TEST_F(VerifierTest, DatesOfEveryCertificateCount) {
  cli_.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca", "10");
  cli_.MakeCertificate("leaf", "ca", kLeafExtensions + Uri("spiffe://example.org/a"), "/O=Leaf", "20");
  const BundleSet bundles({BundleOf({"root"})});
  const auto at = [&](hours offset) {
    return VerifyX509Svid(Chain({"leaf", "ca"}), bundles, Now() + seconds(1) + offset);
  };
  EXPECT_TRUE(at(hours(24 * 9)).ok());
  EXPECT_THAT(at(hours(-24)), FailsWith(kUntrusted, "not yet valid"));
  EXPECT_THAT(at(hours(24 * 11)), FailsWith(kUntrusted, "certificate 1 of the path: certificate has expired"));
  EXPECT_THAT(at(hours(24 * 21)), FailsWith(kUntrusted, "expired"));
  EXPECT_THAT(at(hours(24 * 31)), FailsWith(kUntrusted, "expired"));
}

TEST_F(VerifierTest, ALeafIsRefusedInTheSecondAfterItsEnd) {
  const Authority authority;
  const X509Svid svid = authority.Issue("/a", Now(), Now() + seconds(60));
  const BundleSet bundles({authority.bundle});
  EXPECT_TRUE(VerifyX509Svid(svid.chain(), bundles, Now()).ok());
  EXPECT_THAT(VerifyX509Svid(svid.chain(), bundles, Now() - seconds(1)), FailsWith(kUntrusted, "not yet valid"));
  EXPECT_THAT(VerifyX509Svid(svid.chain(), bundles, svid.not_after() + seconds(1)), FailsWith(kUntrusted, "expired"));
}

TEST_F(VerifierTest, AnExpiredAuthorityVouchesForNothing) {
  cli_.MakeCertificate("leaf", "root", kLeafExtensions + Uri("spiffe://example.org/a"), "/O=Leaf", "60");
  EXPECT_THAT(VerifyX509Svid(Chain({"leaf"}), BundleSet({BundleOf({"root"})}), Now() + hours(24 * 31)),
              FailsWith(kUntrusted, "expired"));
}

TEST_F(VerifierTest, RefusesALeafThatBreaksTheProfile) {
  cli_.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
  EXPECT_THAT(Verify({"ca"}), Refused("0 URI SANs"));
  EXPECT_THAT(Verify({"root"}), Refused("has no path"));
  cli_.MakeCertificate("two", "root",
                       kLeafExtensions + "subjectAltName=URI:spiffe://example.org/a,URI:spiffe://example.org/b\n");
  EXPECT_THAT(Verify({"two"}), Refused("2 URI SANs"));
  cli_.MakeCertificate("signing", "root", kCaExtensions + Uri("spiffe://example.org/a"));
  EXPECT_THAT(Verify({"signing"}), Refused("is a CA"));
  EXPECT_THAT(VerifyX509Svid({}, BundleSet(), Now()), Refused("no certificate"));
}

TEST_F(VerifierTest, RefusesALeafAsIssuer) {
  cli_.MakeCertificate("leaf1", "root", kLeafExtensions + "subjectKeyIdentifier=hash\n" + Uri("spiffe://example.org/a"),
                       "/O=Leaf1");
  MakeLeaf("leaf1", "spiffe://example.org/admin");
  EXPECT_THAT(Verify({"leaf", "leaf1"}), FailsWith(kUntrusted, ""));
}

TEST_F(VerifierTest, RefusesACaWithoutTheRightToSign) {
  cli_.MakeCertificate("ca", "root",
                       "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\nsubjectKeyIdentifier=hash\n",
                       "/O=Ca");
  MakeLeaf("ca");
  EXPECT_THAT(Verify({"leaf", "ca"}), FailsWith(kUntrusted, ""));
  cli_.MakeCertificate("bare", "root", "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n", "/O=Bare");
  MakeLeaf("bare");
  EXPECT_THAT(Verify({"leaf", "bare"}), FailsWith(kUntrusted, "lacks keyCertSign"));
}

TEST_F(VerifierTest, RefusesASigningCertificateWhoseIdHasAPath) {
  cli_.MakeCertificate("ca", "root", kCaExtensions + Uri("spiffe://example.org/ca"), "/O=Ca");
  MakeLeaf("ca");
  EXPECT_THAT(Verify({"leaf", "ca"}), FailsWith(kUntrusted, "has a path"));
}

TEST_F(VerifierTest, RefusesAViolatedPathLength) {
  cli_.MakeCertificate(
      "ca0", "root",
      "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n",
      "/O=Ca0");
  MakeLeaf("ca0");
  EXPECT_TRUE(Verify({"leaf", "ca0"}).ok());
  cli_.MakeCertificate("ca1", "ca0", kCaExtensions, "/O=Ca1");
  MakeLeaf("ca1");
  EXPECT_THAT(Verify({"leaf", "ca1", "ca0"}), FailsWith(kUntrusted, "path length constraint exceeded"));
}

TEST_F(VerifierTest, HonoursUriNameConstraints) {
  cli_.MakeCertificate("ca", "root", kCaExtensions + "nameConstraints=critical,permitted;URI:guest.org\n", "/O=Ca");
  MakeLeaf("ca");
  EXPECT_THAT(Verify({"leaf", "ca"}), FailsWith(kUntrusted, "permitted subtree violation"));
  cli_.MakeCertificate("ok", "root", kCaExtensions + "nameConstraints=critical,permitted;URI:example.org\n", "/O=Ok");
  MakeLeaf("ok");
  EXPECT_TRUE(Verify({"leaf", "ok"}).ok());
  cli_.MakeCertificate("ex", "root", kCaExtensions + "nameConstraints=critical,excluded;URI:example.org\n", "/O=Ex");
  MakeLeaf("ex");
  EXPECT_THAT(Verify({"leaf", "ex"}), FailsWith(kUntrusted, "excluded subtree violation"));
}

TEST_F(VerifierTest, AnExtendedKeyUsageInACaBindsItsLeaves) {
  cli_.MakeCertificate("ca", "root", kCaExtensions + "extendedKeyUsage=clientAuth\n", "/O=Ca");
  MakeLeaf("ca");
  EXPECT_TRUE(Verify({"leaf", "ca"}, KeyPurpose::kClient).ok());
  EXPECT_THAT(Verify({"leaf", "ca"}, KeyPurpose::kServer), FailsWith(kUntrusted, "unsuitable certificate purpose"));
}

TEST_F(VerifierTest, RefusesUnknownCriticalExtensions) {
  cli_.MakeCertificate("leaf", "root",
                       kLeafExtensions + Uri("spiffe://example.org/a") + "1.2.3.4=critical,ASN1:UTF8String:x\n");
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, "unhandled critical extension"));
}

TEST_F(VerifierTest, RefusesWeakKeysAndDigests) {
  cli_.MakeKey("leaf", "RSA -pkeyopt rsa_keygen_bits:1024");
  MakeLeaf("root");
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, "key too weak"));
  cli_.MakeKey("leaf");
  MakeLeaf("root");
  EXPECT_TRUE(Verify({"leaf"}).ok());
  cli_.Run(
      "x509 -req -in leaf.csr -CA root.crt -CAkey root.key -sha1 -set_serial 0x77 -extfile leaf.ext -out leaf.crt");
  EXPECT_THAT(Verify({"leaf"}), FailsWith(kUntrusted, "digest algorithm too weak"));
}

TEST_F(VerifierTest, RefusesATamperedLeaf) {
  MakeLeaf("root");
  std::string der = ReadCertificate(cli_, "leaf").der();
  const std::size_t at = der.find("spiffe://example.org/a");
  ASSERT_NE(at, std::string::npos);
  der[at + 21] = 'b';
  const std::vector<Certificate> chain = {Get(Certificate::FromDer(der))};
  EXPECT_THAT(VerifyX509Svid(chain, BundleSet({BundleOf({"root"})}), Now() + seconds(1)),
              FailsWith(kUntrusted, "signature failure"));
}

TEST_F(VerifierTest, ChainsOfTenAreReadAndOfElevenRefused) {
  std::vector<std::string> names;
  std::string issuer = "root";
  for (int i = 0; i < 10; ++i) {
    const std::string name = "ca" + std::to_string(i);
    cli_.MakeCertificate(name, issuer, kCaExtensions, "/O=" + name);
    issuer = name;
    names.insert(names.begin(), name);
    if (i == 8) {
      MakeLeaf(issuer);
      std::vector<std::string> ten = names;
      ten.insert(ten.begin(), "leaf");
      EXPECT_EQ(ten.size(), 10u);
      EXPECT_TRUE(Verify(ten).ok()) << Verify(ten).status();
    }
  }
  MakeLeaf(issuer);
  names.insert(names.begin(), "leaf");
  EXPECT_THAT(Verify(names), Refused("11 certificates"));
}

TEST_F(VerifierTest, DuringRotationBothRootsCount) {
  cli_.MakeCertificate("next", "", kCaExtensions + Uri("spiffe://example.org"), "/O=Root");  // same name, new key
  const BundleSet both({BundleOf({"root", "next"})});
  for (const char* issuer : {"root", "next"}) {
    MakeLeaf(issuer);
    EXPECT_TRUE(VerifyX509Svid(Chain({"leaf"}), both, Now() + seconds(1)).ok()) << issuer;
  }
}

}  // namespace
}  // namespace lanyard::testing
