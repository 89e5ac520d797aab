// Lists that we sign, as the openssl program reads and believes them.
#include <algorithm>
#include <random>

#include "pki/crl.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CrlSigningTest : public ::testing::Test {
 protected:
  static CrlContent Content(std::vector<RevokedCertificate> revoked = {}, std::uint64_t number = 7) {
    return {.number = number,
            .this_update = Now() - seconds(60),
            .next_update = Now() + hours(24 * 7),
            .revoked = std::move(revoked)};
  }
  static RevokedCertificate Revoked(std::string serial, TimePoint not_after = Now() + hours(1)) {
    return {.serial_hex = std::move(serial), .revoked_at = Now() - minutes(5), .not_after = not_after};
  }
  static std::vector<std::string> Serials(const Crl& crl) {
    std::vector<std::string> serials;
    for (const CrlFields::Entry& entry : crl.fields().entries) serials.push_back(entry.serial_hex);
    return serials;
  }
  // Puts root.pem and NAME.pem of a new leaf there, and returns the leaf.
  X509Svid WriteLeaf(const Authority& authority, const std::string& name) const {
    X509Svid leaf = authority.Issue("/" + name);
    cli_.Write("root.pem", authority.root.certificate.ToPem());
    cli_.Write(name + ".pem", leaf.ChainPem());
    return leaf;
  }
  OpensslCli::Outcome Verify(const std::string& name) const {
    return cli_.Try("verify -x509_strict -crl_check_all -CAfile root.pem -CRLfile crl.pem " + name + ".pem");
  }

  const OpensslCli cli_;
};

TEST_F(CrlSigningTest, OpensslReadsExactlyWhatWasSigned) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const Authority authority("example.org", type);
    const Crl crl =
        Get(authority.issuer.SignCrl(Content({Revoked("0a0b"), Revoked("7f00000000000000000000000000000001")})));
    cli_.Write("root.pem", authority.root.certificate.ToPem());
    cli_.Write("crl.pem", crl.ToPem());
    cli_.Write("crl.der", crl.der());
    EXPECT_THAT(cli_.Run("crl -in crl.pem -noout -CAfile root.pem"), HasSubstr("verify OK")) << KeyTypeName(type);
    const std::string text = cli_.Run("crl -inform DER -in crl.der -noout -text -nameopt RFC2253");
    EXPECT_THAT(text, HasSubstr("Version 2 (0x1)"));
    EXPECT_THAT(text, HasSubstr("Issuer: CN=example.org,O=Lanyard"));
    EXPECT_THAT(text, HasSubstr("X509v3 CRL Number: \n                7\n"));
    EXPECT_THAT(text, HasSubstr("Serial Number: 0A0B"));
    EXPECT_THAT(text, HasSubstr("Serial Number: 7F00000000000000000000000000000001"));
    EXPECT_THAT(text, Not(HasSubstr("critical")));
    const std::string of_root = cli_.Run("x509 -in root.pem -noout -ext subjectKeyIdentifier");
    const std::string key_id = of_root.substr(of_root.find('\n') + 1);
    EXPECT_THAT(text, HasSubstr("X509v3 Authority Key Identifier: \n            " + key_id));
  }
}

TEST_F(CrlSigningTest, DatesAreThoseThatWereAskedForOnBothSidesOf2050) {
  const Authority authority;
  CrlContent content = Content();
  content.this_update = TimePoint(seconds(2524607999));  // `date -u -d @2524607999`: 2049-12-31T23:59:59Z
  content.next_update = TimePoint(seconds(2524608000));
  const Crl crl = Get(authority.issuer.SignCrl(content));
  EXPECT_EQ(crl.this_update(), content.this_update);
  EXPECT_EQ(crl.next_update(), content.next_update);
  cli_.Write("crl.pem", crl.ToPem());
  EXPECT_THAT(cli_.Run("crl -in crl.pem -noout -lastupdate -nextupdate"),
              HasSubstr("lastUpdate=Dec 31 23:59:59 2049 GMT\nnextUpdate=Jan  1 00:00:00 2050 GMT"));
  EXPECT_THAT(cli_.Run("asn1parse -in crl.pem"), HasSubstr("UTCTIME           :491231235959Z"));
  EXPECT_THAT(cli_.Run("asn1parse -in crl.pem"), HasSubstr("GENERALIZEDTIME   :20500101000000Z"));
}

TEST_F(CrlSigningTest, OpensslRefusesExactlyTheCertificateThatWasRevoked) {
  const Authority authority;
  const X509Svid revoked = WriteLeaf(authority, "revoked");
  WriteLeaf(authority, "other");
  cli_.Write("crl.pem", Get(authority.issuer.SignCrl(Content({Revoked(revoked.serial_hex())}))).ToPem());
  EXPECT_EQ(Verify("other").exit_code, 0) << Verify("other").output;
  const auto verdict = Verify("revoked");
  EXPECT_NE(verdict.exit_code, 0);
  EXPECT_THAT(verdict.output, HasSubstr("certificate revoked"));
}

TEST_F(CrlSigningTest, OpensslAcceptsEverybodyByAnEmptyListAndNobodyWithoutOne) {
  const Authority authority, stranger;
  WriteLeaf(authority, "leaf");
  const Crl crl = Get(authority.issuer.SignCrl(Content()));
  EXPECT_THAT(Serials(crl), IsEmpty());
  cli_.Write("crl.pem", crl.ToPem());
  EXPECT_EQ(Verify("leaf").exit_code, 0) << Verify("leaf").output;
  cli_.Write("crl.pem", Get(stranger.issuer.SignCrl(Content())).ToPem());
  EXPECT_THAT(Verify("leaf").output, HasSubstr("unable to get certificate CRL"));
}

TEST_F(CrlSigningTest, ListsUnexpiredSerialsOnlyAscendingAndOnce) {
  const Authority authority;
  const CrlContent content = Content({Revoked("ff"), Revoked("0100"), Revoked("02"), Revoked("0002"), Revoked("80"),
                                      Revoked("05", Now() - hours(1)), Revoked("06", Now() - seconds(60)),
                                      Revoked("07", Now() - seconds(59))});
  EXPECT_THAT(Serials(Get(authority.issuer.SignCrl(content))), ElementsAre("02", "07", "80", "ff", "0100"));
}

TEST_F(CrlSigningTest, NoRevocationIsYetToComeByTheListThatHasIt) {
  const Authority authority;
  RevokedCertificate just_now = Revoked("01");
  just_now.revoked_at = Now() + seconds(5);
  RevokedCertificate before = Revoked("02");
  const Crl crl = Get(authority.issuer.SignCrl(Content({just_now, before})));
  EXPECT_EQ(crl.fields().entries.at(0).revoked_at, crl.this_update());
  EXPECT_EQ(crl.fields().entries.at(1).revoked_at, before.revoked_at);
}

TEST_F(CrlSigningTest, EqualContentsGiveEqualBytes) {
  const Authority authority("example.org", KeyType::kRsa2048);  // whose signatures have no chance in them
  std::vector<RevokedCertificate> revoked;
  for (int i = 1; i <= 300; ++i) revoked.push_back(Revoked(fmt::format("{:04x}", i * 37)));
  CrlContent content = Content(revoked);
  const Crl first = Get(authority.issuer.SignCrl(content));
  std::shuffle(content.revoked.begin(), content.revoked.end(), std::mt19937(20260701));
  content.this_update += std::chrono::milliseconds(7);
  EXPECT_EQ(Get(authority.issuer.SignCrl(content)).der(), first.der());
  content.number += 1;
  EXPECT_NE(Get(authority.issuer.SignCrl(content)).der(), first.der());
}

TEST_F(CrlSigningTest, ACaWithoutKeyIdentifierGetsAListThatOpensslBelieves) {
  cli_.MakeCertificate(
      "root", "",
      "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=none\n");
  const Certificate root = ReadCertificate(cli_, "root");
  ASSERT_THAT(root.subject_key_id(), IsEmpty());
  const Crl crl = Get(Crl::Sign(Content(), root, ReadKey(cli_, "root")));
  EXPECT_EQ(crl.fields().authority_key_id.size(), 20u);
  cli_.Write("crl.pem", crl.ToPem());
  EXPECT_THAT(cli_.Run("crl -in crl.pem -noout -CAfile root.crt"), HasSubstr("verify OK"));
}

TEST_F(CrlSigningTest, SignsNothingForACaThatMayNotSignLists) {
  cli_.MakeCertificate("root", "", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n");
  const Issuer issuer = Get(Issuer::Create({ReadCertificate(cli_, "root")}, ReadKey(cli_, "root")));
  EXPECT_THAT(issuer.SignCrl(Content()), FailsWith(StatusCode::kFailedPrecondition, "no key usage cRLSign"));
}

TEST_F(CrlSigningTest, SignsNothingWithAKeyThatIsNotTheIssuers) {
  const Authority authority, other;
  EXPECT_THAT(Crl::Sign(Content(), authority.root.certificate, other.root.key),
              FailsWith(StatusCode::kUnauthenticated, "the signature of the CRL is not its issuer's"));
}

TEST_F(CrlSigningTest, RefusesDatesAndSerialsThatMakeNoSense) {
  const Authority authority;
  CrlContent backwards = Content();
  backwards.next_update = backwards.this_update + std::chrono::milliseconds(999) - seconds(1);
  EXPECT_THAT(authority.issuer.SignCrl(backwards), Refused("end before it begins"));
  for (const std::string& serial : {std::string(), std::string("0"), std::string("0g"), std::string("-05"),
                                    std::string("0A"), std::string(42, '1')}) {
    EXPECT_THAT(authority.issuer.SignCrl(Content({Revoked(serial)})), Refused("is no serial number")) << serial;
  }
  EXPECT_TRUE(authority.issuer.SignCrl(Content({Revoked(std::string(40, '1'))})).ok());
}

}  // namespace
}  // namespace lanyard::testing
