#include "pki/x509_svid.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

// Each certificate is made by the openssl program with the extension lines shown.
class X509SvidTest : public ::testing::Test {
 protected:
  Result<SpiffeId> LeafId(const std::string& extensions, const std::string& subject = "/O=Other") {
    const std::string name = "leaf" + std::to_string(++count_);
    cli_.MakeCertificate(name, "", extensions, subject);
    return IdFromLeaf(ReadCertificate(cli_, name));
  }
  Result<std::optional<TrustDomain>> Signing(const std::string& extensions) {
    const std::string name = "ca" + std::to_string(++count_);
    cli_.MakeCertificate(name, "", extensions);
    return CheckSigningCertificate(ReadCertificate(cli_, name));
  }

  static inline const std::string kNotCa = "basicConstraints=critical,CA:FALSE\n";
  static inline const std::string kSignsOnly = "keyUsage=critical,digitalSignature\n";
  static inline const std::string kBothUsages = "extendedKeyUsage=serverAuth,clientAuth\n";
  static inline const std::string kUri = "subjectAltName=URI:spiffe://example.org/a\n";

  OpensslCli cli_;
  int count_ = 0;
};

TEST_F(X509SvidTest, AcceptsALeafThatFollowsTheProfile) {
  EXPECT_EQ(Get(LeafId(kNotCa + kSignsOnly + kBothUsages + kUri)), Id("spiffe://example.org/a"));
  // Without extended key usage, without basic constraints (then not a CA), with other usages and other kinds of names
  EXPECT_TRUE(
      LeafId("keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement\n"
             "subjectAltName=URI:spiffe://example.org/a,DNS:a.example,DNS:b.example,email:a@example.org,IP:10.0.0.1\n")
          .ok());
  EXPECT_TRUE(
      LeafId(kNotCa + kSignsOnly + kUri + "extendedKeyUsage=critical,serverAuth,clientAuth,codeSigning\n").ok());
}

TEST_F(X509SvidTest, RejectsASecondUriSan) {
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + "subjectAltName=URI:spiffe://example.org/a,URI:spiffe://example.org/b\n"),
              Refused("2 URI SANs"));
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + "subjectAltName=URI:spiffe://example.org/a,URI:https://example.org/\n"),
              Refused("2 URI SANs"));
}

TEST_F(X509SvidTest, RejectsALeafWithoutUriSan) {
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly), Refused("0 URI SANs"));
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + "subjectAltName=DNS:example.org\n"), Refused("0 URI SANs"));
}

TEST_F(X509SvidTest, RejectsAUriThatIsNoSpiffeId) {
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + "subjectAltName=URI:https://example.org/a\n"),
              Refused("does not begin with"));
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + "subjectAltName=URI:spiffe://example.org/a/\n"), Refused("ends with '/'"));
  EXPECT_THAT(
      LeafId(kNotCa + kSignsOnly + "subjectAltName=DER:30:11:86:0f:73:70:69:66:66:65:3a:2f:2f:74:64:2f:61:00:62\n"),
      Refused("byte 0x00"));
}

TEST_F(X509SvidTest, RejectsALeafIdWithoutPath) {
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + "subjectAltName=URI:spiffe://example.org\n"), Refused("has no path"));
}

TEST_F(X509SvidTest, RejectsACaAsLeaf) {
  EXPECT_THAT(LeafId("basicConstraints=critical,CA:TRUE\n" + kSignsOnly + kUri), Refused("is a CA"));
}

TEST_F(X509SvidTest, RejectsLeavesThatMaySignCertificatesOrCrls) {
  EXPECT_THAT(LeafId(kNotCa + kUri + "keyUsage=critical,digitalSignature,keyCertSign\n"), Refused("keyCertSign"));
  EXPECT_THAT(LeafId(kNotCa + kUri + "keyUsage=critical,digitalSignature,cRLSign\n"), Refused("cRLSign"));
}

TEST_F(X509SvidTest, RejectsALeafWithoutCriticalKeyUsageOfDigitalSignature) {
  EXPECT_THAT(LeafId(kNotCa + kUri), Refused("no key usage"));
  EXPECT_THAT(LeafId(kNotCa + kUri + "keyUsage=digitalSignature\n"), Refused("not critical"));
  EXPECT_THAT(LeafId(kNotCa + kUri + "keyUsage=critical,keyEncipherment\n"), Refused("lacks digitalSignature"));
}

TEST_F(X509SvidTest, RejectsAnExtendedKeyUsageForOneSideOnly) {
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + kUri + "extendedKeyUsage=clientAuth\n"), Refused("lacks serverAuth"));
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + kUri + "extendedKeyUsage=serverAuth\n"), Refused("lacks clientAuth"));
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + kUri + "extendedKeyUsage=anyExtendedKeyUsage\n"),
              Refused("lacks serverAuth"));
}

TEST_F(X509SvidTest, WithoutSubjectTheNamesMustBeCritical) {
  EXPECT_THAT(LeafId(kNotCa + kSignsOnly + kUri, "/"), Refused("neither a subject nor critical"));
  EXPECT_TRUE(LeafId(kNotCa + kSignsOnly + "subjectAltName=critical,URI:spiffe://example.org/a\n", "/").ok());
}

TEST_F(X509SvidTest, ChecksSigningCertificates) {
  EXPECT_EQ(Get(Signing(kCaExtensions + "subjectAltName=URI:spiffe://example.org\n")), Td());
  EXPECT_EQ(Get(Signing(kCaExtensions)), std::nullopt);
  EXPECT_EQ(Get(Signing(kCaExtensions + "subjectAltName=URI:https://corp.example/pki\n")), std::nullopt);
  EXPECT_EQ(Get(Signing("basicConstraints=CA:TRUE\nkeyUsage=keyCertSign\n")), std::nullopt);
  // Appendix A of SPIFFE_Trust_Domain_and_Bundle names its CA so
  EXPECT_EQ(Get(Signing(kCaExtensions + "subjectAltName=URI:spiffe://example.org/\n")), Td());
  EXPECT_THAT(Signing(kLeafExtensions), Refused("is not a CA"));
  EXPECT_THAT(Signing("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n"), Refused("lacks keyCertSign"));
  EXPECT_THAT(Signing("basicConstraints=critical,CA:TRUE\n"), Refused("lacks keyCertSign"));
  EXPECT_THAT(
      Signing("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\nsubjectAltName=URI:spiffe://example.org\n"),
      Refused("not critical"));
  EXPECT_THAT(Signing(kCaExtensions + "subjectAltName=URI:spiffe://example.org/ca\n"), Refused("has a path"));
  EXPECT_THAT(Signing(kCaExtensions + "subjectAltName=URI:spiffe://example.org,URI:spiffe://example.com\n"),
              Refused("1 other URI SANs"));
  EXPECT_THAT(Signing(kCaExtensions + "subjectAltName=URI:spiffe:example.org\n"), Refused("does not begin with"));
}

TEST_F(X509SvidTest, CreateTakesOnlyTheCertificatesOwnKey) {
  cli_.MakeCertificate("leaf", "", kLeafExtensions + kUri);
  cli_.MakeKey("other");
  const Certificate leaf = ReadCertificate(cli_, "leaf");
  const X509Svid svid = Get(X509Svid::Create({leaf}, ReadKey(cli_, "leaf")));
  EXPECT_EQ(svid.id(), Id("spiffe://example.org/a"));
  EXPECT_EQ(svid.ChainDer(), leaf.der());
  EXPECT_EQ(svid.serial_hex(), leaf.serial_hex());
  EXPECT_THAT(X509Svid::Create({leaf}, ReadKey(cli_, "other")), Refused("does not belong"));
  EXPECT_THAT(X509Svid::Create({leaf}, Get(PrivateKey::Generate(KeyType::kEcP384))), Refused("does not belong"));
}

TEST_F(X509SvidTest, CreateWantsCaCertificatesBehindTheLeaf) {
  cli_.MakeCertificate("ca", "", kCaExtensions);
  cli_.MakeCertificate("leaf", "ca", kLeafExtensions + kUri);
  const Certificate ca = ReadCertificate(cli_, "ca"), leaf = ReadCertificate(cli_, "leaf");
  EXPECT_EQ(Get(X509Svid::Create({leaf, ca}, ReadKey(cli_, "leaf"))).ChainDer(), leaf.der() + ca.der());
  EXPECT_THAT(X509Svid::Create({leaf, leaf}, ReadKey(cli_, "leaf")),
              Refused("certificate 1 of its chain: certificate is not a CA"));
  EXPECT_THAT(X509Svid::Create({ca, leaf}, ReadKey(cli_, "ca")), Refused("0 URI SANs"));
  EXPECT_THAT(X509Svid::Create({}, ReadKey(cli_, "leaf")), Refused("no certificate"));
  std::vector<Certificate> eleven(11, ca);
  eleven.front() = leaf;
  EXPECT_THAT(X509Svid::Create(eleven, ReadKey(cli_, "leaf")), Refused("11 certificates"));
}

}  // namespace
}  // namespace lanyard::testing
