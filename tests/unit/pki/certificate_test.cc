#include "pki/certificate.h"

#include <algorithm>
#include <cctype>

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CertificateTest : public ::testing::Test {
 protected:
  OpensslCli cli_;
};

TEST_F(CertificateTest, SaysWhatOpensslSays) {
  cli_.MakeCertificate("ca", "", kCaExtensions + Uri("spiffe://example.org"), "/O=Corp/CN=Root");
  cli_.MakeCertificate("leaf", "ca",
                       kLeafExtensions +
                           "subjectKeyIdentifier=hash\nsubjectAltName=critical,URI:spiffe://example.org/"
                           "a,DNS:a.example,DNS:b.example\n");
  const Certificate ca = ReadCertificate(cli_, "ca");
  const Certificate leaf = ReadCertificate(cli_, "leaf");
  EXPECT_TRUE(ca.is_ca());
  EXPECT_TRUE(ca.HasKeyUsage(kKeyUsageKeyCertSign));
  EXPECT_FALSE(ca.HasKeyUsage(kKeyUsageDigitalSignature));
  EXPECT_TRUE(ca.self_issued());
  EXPECT_FALSE(leaf.is_ca());
  EXPECT_THAT(leaf.uri_sans(), ElementsAre("spiffe://example.org/a"));
  EXPECT_THAT(leaf.dns_sans(), ElementsAre("a.example", "b.example"));
  EXPECT_TRUE(leaf.fields().san_critical);
  EXPECT_TRUE(leaf.fields().key_usage_critical);
  EXPECT_EQ(leaf.fields().key_usage, kKeyUsageDigitalSignature);
  EXPECT_THAT(leaf.fields().extended_key_usage->oids, ElementsAre("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"));
  EXPECT_EQ(leaf.authority_key_id(), ca.subject_key_id());
  EXPECT_EQ(leaf.issuer_der(), ca.subject_der());
  EXPECT_EQ(leaf.not_after() - leaf.not_before(), hours(24 * 30));
  EXPECT_LE(leaf.not_before(), Now());
  std::string serial = cli_.Run("x509 -in leaf.crt -noout -serial");
  std::transform(serial.begin(), serial.end(), serial.begin(), [](unsigned char c) { return std::tolower(c); });
  EXPECT_EQ("serial=" + leaf.serial_hex() + "\n", serial);
  cli_.Run("x509 -in leaf.crt -outform DER -out leaf.der");
  EXPECT_EQ(leaf.der(), cli_.Read("leaf.der"));
  EXPECT_EQ(leaf.ToPem(), cli_.Read("leaf.crt"));
  EXPECT_TRUE(leaf.SignedBy(ca));
  EXPECT_FALSE(ca.SignedBy(leaf));
  EXPECT_TRUE(Get(leaf.public_key()).SameAs(ReadKey(cli_, "leaf").public_key()));
}

TEST_F(CertificateTest, AbsentExtensionsAreAbsent) {
  cli_.MakeCertificate("bare", "", "subjectKeyIdentifier=hash\n");
  const Certificate bare = ReadCertificate(cli_, "bare");
  EXPECT_FALSE(bare.fields().key_usage.has_value());
  EXPECT_FALSE(bare.fields().extended_key_usage.has_value());
  EXPECT_FALSE(bare.fields().path_length.has_value());
  EXPECT_FALSE(bare.HasKeyUsage(kKeyUsageKeyCertSign));
  EXPECT_TRUE(bare.uri_sans().empty());
  EXPECT_TRUE(bare.authority_key_id().empty());
}

TEST_F(CertificateTest, ReadsListsInBothForms) {
  cli_.MakeCertificate("a", "", kCaExtensions);
  cli_.MakeCertificate("b", "", kCaExtensions);
  const Certificate a = ReadCertificate(cli_, "a");
  const Certificate b = ReadCertificate(cli_, "b");
  EXPECT_THAT(Get(Certificate::ListFromDer(a.der() + b.der())), ElementsAre(a, b));
  EXPECT_THAT(
      Get(Certificate::ListFromPem("a comment\n" + cli_.Read("a.crt") + cli_.Read("a.key") + cli_.Read("b.crt"))),
      ElementsAre(a, b));
}

TEST_F(CertificateTest, ExactlyOneMeansOne) {
  cli_.MakeCertificate("a", "", kCaExtensions);
  const Certificate a = ReadCertificate(cli_, "a");
  EXPECT_THAT(Certificate::FromDer(a.der() + a.der()), Refused("found 2"));
  EXPECT_THAT(Certificate::FromPem(a.ToPem() + a.ToPem()), Refused("found 2"));
  EXPECT_THAT(Certificate::FromDer(""), Refused("there are none"));
  EXPECT_THAT(Certificate::FromPem(""), Refused("no CERTIFICATE block"));
  EXPECT_THAT(Certificate::FromPem(cli_.Read("a.key")), Refused("no CERTIFICATE block"));
}

TEST_F(CertificateTest, RefusesBrokenBytes) {
  cli_.MakeCertificate("a", "", kCaExtensions + Uri("spiffe://example.org"));
  const Certificate a = ReadCertificate(cli_, "a");
  EXPECT_FALSE(Certificate::FromDer(a.der() + "x").ok());
  for (std::size_t length = 1; length < a.der().size(); length += 7) {
    EXPECT_FALSE(Certificate::FromDer(a.der().substr(0, length)).ok()) << length;
  }
  const std::string pem = a.ToPem();
  EXPECT_FALSE(Certificate::ListFromPem(pem + pem.substr(0, pem.size() / 2)).ok());
}

TEST_F(CertificateTest, AListDoesNotShrinkWhereTheFirstLineOfABlockIsDamaged) {
  cli_.MakeCertificate("a", "", kCaExtensions);
  const std::string good = cli_.Read("a.crt");
  for (const char* begin : {"----BEGIN CERTIFICATE-----", "-----BEGN CERTIFICATE-----", "-----BEGIN CERTIFICATE----",
                            " -----BEGIN CERTIFICATE-----", ""}) {
    const std::string damaged = begin + good.substr(good.find('\n'));
    EXPECT_THAT(Certificate::ListFromPem(good + damaged), Refused("BEGIN line of one is damaged")) << begin;
    EXPECT_THAT(Certificate::ListFromPem(damaged + good), Refused("BEGIN line of one is damaged")) << begin;
    EXPECT_THAT(Certificate::ListFromPem(damaged), Refused("BEGIN line of one is damaged")) << begin;
  }
  std::string dos;
  for (const char c : good) dos += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_EQ(Get(Certificate::ListFromPem("\xef\xbb\xbf" + dos + "between\n" + dos)).size(), 2u);
}

TEST_F(CertificateTest, NoFlippedBitCrashesIt) {
  cli_.MakeCertificate("a", "", kLeafExtensions + Uri("spiffe://example.org/a"));
  const std::string der = ReadCertificate(cli_, "a").der();
  for (std::size_t i = 0; i < der.size(); ++i) {
    std::string broken = der;
    broken[i] = static_cast<char>(broken[i] ^ (1 << (i % 8)));
    const Result<Certificate> read = Certificate::FromDer(broken);
    if (read.ok()) {
      EXPECT_EQ(read->der(), broken);
    }
  }
}

TEST_F(CertificateTest, RefusesBerThatIsNotDer) {
  cli_.MakeCertificate("a", "", kCaExtensions);
  const std::string der = ReadCertificate(cli_, "a").der();
  ASSERT_EQ(der.substr(0, 2), "\x30\x82");
  // The outer length in three bytes instead of two: BER allows it, DER does not
  const std::string ber = std::string("\x30\x83\0", 3) + der.substr(2);
  EXPECT_THAT(Certificate::FromDer(ber), Refused("not encoded as DER"));
}

TEST_F(CertificateTest, RefusesARepeatedExtension) {
  cli_.MakeCertificate(
      "a", "", "subjectAltName=URI:spiffe://example.org/a\n1.2.3.4=ASN1:UTF8String:x\n1.2.3.5=ASN1:UTF8String:x\n");
  std::string der = ReadCertificate(cli_, "a").der();
  const std::string second("\x06\x03\x2a\x03\x05", 5);  // 1.2.3.5
  const std::size_t at = der.find(second);
  ASSERT_NE(at, std::string::npos);
  der[at + 4] = 4;
  EXPECT_THAT(Certificate::FromDer(der), Refused("appears twice"));
}

TEST_F(CertificateTest, RefusesExtensionsThatDoNotParse) {
  cli_.MakeCertificate("a", "", "1.2.3.4=ASN1:UTF8String:x\nsubjectAltName=DER:01:02:03\n");
  EXPECT_FALSE(Certificate::FromPem(cli_.Read("a.crt")).ok());
  cli_.MakeCertificate("b", "", "basicConstraints=DER:01:02:03\n");
  EXPECT_FALSE(Certificate::FromPem(cli_.Read("b.crt")).ok());
  cli_.MakeCertificate("c", "", "extendedKeyUsage=DER:01:02:03\n");
  EXPECT_FALSE(Certificate::FromPem(cli_.Read("c.crt")).ok());
}

TEST_F(CertificateTest, DatesBeyondTheClockBecomeItsEnd) {
  cli_.MakeCertificate("old", "", kCaExtensions, "/O=Other", "2900000");  // some 7,900 years
  const Certificate old = ReadCertificate(cli_, "old");
  EXPECT_GT(old.not_after(), Now() + hours(24 * 365 * 200));
}

TEST_F(CertificateTest, KeepsANulInsideAName) {
  // URI "spiffe://td/a" NUL "b": a reader that stops at NUL would see another name
  cli_.MakeCertificate("a", "", "subjectAltName=DER:30:11:86:0f:73:70:69:66:66:65:3a:2f:2f:74:64:2f:61:00:62\n");
  const Certificate a = ReadCertificate(cli_, "a");
  EXPECT_THAT(a.uri_sans(), ElementsAre(std::string("spiffe://td/a\0b", 15)));
}

}  // namespace
}  // namespace lanyard::testing
