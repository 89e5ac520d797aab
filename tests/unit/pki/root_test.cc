#include "pki/root.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using ::testing::HasSubstr;

TEST(RootTest, IsASigningSvidOfItsTrustDomain) {
  const SelfSignedCa root = Get(MakeRootCa(Td(), KeyType::kEcP256, Now(), Now() + hours(24)));
  const Certificate& certificate = root.certificate;
  EXPECT_EQ(Get(CheckSigningCertificate(certificate)), Td());
  EXPECT_EQ(certificate.uri_sans(), std::vector<std::string>{"spiffe://example.org"});
  EXPECT_EQ(certificate.fields().key_usage, kKeyUsageKeyCertSign | kKeyUsageCrlSign);
  EXPECT_TRUE(certificate.fields().key_usage_critical);
  EXPECT_EQ(certificate.subject_key_id().size(), 20u);
  EXPECT_EQ(certificate.serial_hex().size(), 32u);
  EXPECT_LT(certificate.serial_hex()[0], '8');
  EXPECT_EQ(certificate.not_before(), Now());
  EXPECT_EQ(certificate.not_after(), Now() + hours(24));
  EXPECT_TRUE(certificate.SignedBy(certificate));
  EXPECT_TRUE(Get(certificate.public_key()).SameAs(root.key.public_key()));
}

TEST(RootTest, OpensslAcceptsItStrictlyForEveryKeyType) {
  const OpensslCli cli;
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    const SelfSignedCa root = Get(MakeRootCa(Td(), type, Now() - minutes(1), Now() + hours(24)));
    EXPECT_EQ(root.key.type(), type);
    cli.Write("root.pem", root.certificate.ToPem());
    cli.Run("verify -x509_strict -check_ss_sig -CAfile root.pem root.pem");
    const std::string text = cli.Run("x509 -in root.pem -noout -text");
    EXPECT_THAT(text, HasSubstr("X509v3 Basic Constraints: critical\n                CA:TRUE\n"));
    EXPECT_THAT(text, HasSubstr("X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n"));
  }
}

TEST(RootTest, TwoRootsOfADomainDiffer) {
  const SelfSignedCa a = Get(MakeRootCa(Td(), KeyType::kEcP256, Now(), Now() + hours(24)));
  const SelfSignedCa b = Get(MakeRootCa(Td(), KeyType::kEcP256, Now(), Now() + hours(24)));
  EXPECT_NE(a.certificate.serial_hex(), b.certificate.serial_hex());
  EXPECT_NE(a.certificate.subject_key_id(), b.certificate.subject_key_id());
  EXPECT_FALSE(a.certificate.SignedBy(b.certificate));
}

TEST(RootTest, WorksForTheLongestTrustDomain) {
  const TrustDomain longest = Td(std::string(255, 'a'));
  const SelfSignedCa root = Get(MakeRootCa(longest, KeyType::kEcP256, Now(), Now() + hours(24)));
  EXPECT_EQ(Get(CheckSigningCertificate(root.certificate)), longest);
}

TEST(RootTest, RefusesAnEmptyLife) {
  EXPECT_THAT(MakeRootCa(Td(), KeyType::kEcP256, Now(), Now()), Refused("end before it begins"));
}

}  // namespace
}  // namespace lanyard::testing
