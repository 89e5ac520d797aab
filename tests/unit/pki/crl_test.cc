// Lists that others have signed.
#include "pki/crl.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

class CrlTest : public ::testing::Test {
 protected:
  CrlTest() { cli_.MakeCertificate("root", "", kCaExtensions, "/O=Root"); }

  Result<Crl> Read(const std::string& name) const {
    Result<std::vector<Crl>> crls = Crl::ListFromPem(cli_.Read(name + ".crl"));
    if (!crls.ok()) return crls.status();
    return crls->front();
  }
  // A list by root.crt with these extensions: `openssl ca -gencrl`.
  Result<Crl> WithExtensions(const std::string& extensions) const {
    cli_.MakeCrl("crl", "root", {}, extensions);
    return Read("crl");
  }
  // A list with these lines in place of others of its to-be-signed part: `openssl asn1parse -genconf`. The signature is
  // none, which nobody looks at before it is asked who has signed.
  Result<Crl> WithParts(const std::string& version, const std::string& dates, const std::string& entries = "",
                        const std::string& sections = "") const {
    cli_.Write("crl.conf",
               "asn1=SEQUENCE:crl\n[crl]\ntbs=SEQUENCE:tbs\nalg=SEQUENCE:alg\nsig=FORMAT:HEX,BITSTRING:00\n"
               "[alg]\noid=OID:ecdsa-with-SHA256\n[name]\n[tbs]\n" +
                   version + "alg=SEQUENCE:alg\nissuer=SEQUENCE:name\n" + dates + entries + sections);
    cli_.Run("asn1parse -genconf crl.conf -noout -out made.der");
    return Crl::FromDer(cli_.Read("made.der"));
  }

  const std::string version_2_ = "version=INTEGER:1\n";
  const std::string dates_ = "this=UTCTIME:260101000000Z\nnext=UTCTIME:260201000000Z\n";
  const OpensslCli cli_;
};

TEST_F(CrlTest, ReadsWhatOpensslHasSigned) {
  cli_.MakeCrl("crl", "root", {"0a0b", "7f01020304050607"}, "authorityKeyIdentifier=keyid\n",
               "-crl_lastupdate 20260101000000Z -crl_nextupdate 20260201120000Z");
  const Crl crl = Get(Read("crl"));
  const Certificate root = ReadCertificate(cli_, "root");
  EXPECT_EQ(crl.fields().issuer_der, root.subject_der());
  EXPECT_EQ(crl.fields().authority_key_id, root.subject_key_id());
  EXPECT_EQ(crl.fields().number_hex, "1000");
  EXPECT_EQ(crl.this_update(), TimePoint(seconds(1767225600)));  // date -u -d 2026-01-01T00:00:00Z +%s
  EXPECT_EQ(crl.next_update(), TimePoint(seconds(1769947200)));  // date -u -d 2026-02-01T12:00:00Z +%s
  EXPECT_THAT(crl.fields().entries, ElementsAre(CrlFields::Entry{"0a0b", TimePoint(seconds(1767225600))},
                                                Field(&CrlFields::Entry::serial_hex, "7f01020304050607")));
  EXPECT_TRUE(crl.CheckSignedBy(root).ok());
}

TEST_F(CrlTest, ReadsAListOfVersion1WithoutNumberAndKeyIdentifier) {
  const Crl crl = Get(WithExtensions(""));
  EXPECT_EQ(crl.fields().number_hex, std::nullopt);
  EXPECT_THAT(crl.fields().authority_key_id, IsEmpty());
  EXPECT_TRUE(crl.CheckSignedBy(ReadCertificate(cli_, "root")).ok());
}

TEST_F(CrlTest, PemAndDerAreTwoFormsOfOneList) {
  cli_.MakeCrl("crl", "root", {"05"});
  cli_.Run("crl -in crl.crl -outform DER -out crl.der");
  const Crl from_der = Get(Crl::FromDer(cli_.Read("crl.der")));
  EXPECT_EQ(from_der, Get(Read("crl")));
  EXPECT_EQ(from_der.ToPem(), cli_.Read("crl.crl"));
}

TEST_F(CrlTest, AFileMayHoldSeveralListsAndOtherThings) {
  cli_.MakeCrl("a", "root", {"01"});
  cli_.MakeCrl("b", "root", {"02"});
  const auto crls = Get(Crl::ListFromPem("a note\n" + cli_.Read("a.crl") + cli_.Read("root.crt") + cli_.Read("b.crl")));
  EXPECT_THAT(crls, ElementsAre(Get(Read("a")), Get(Read("b"))));
  EXPECT_THAT(Crl::ListFromPem(cli_.Read("root.crt")), Refused("no X509 CRL block found"));
  EXPECT_THAT(Crl::ListFromPem(""), Refused("no X509 CRL block found"));
  std::string broken = cli_.Read("b.crl");
  broken.replace(broken.find('\n') + 5, 1, "*");
  EXPECT_THAT(Crl::ListFromPem(cli_.Read("a.crl") + broken), Refused("PEM block 2"));
}

TEST_F(CrlTest, IsBelievedFromItsIssuerAlone) {
  cli_.MakeCrl("crl", "root");
  const Crl crl = Get(Read("crl"));
  cli_.MakeCertificate("stranger", "", kCaExtensions, "/O=Stranger");
  EXPECT_THAT(crl.CheckSignedBy(ReadCertificate(cli_, "stranger")),
              FailsWith(StatusCode::kUnauthenticated, "names another issuer"));
  cli_.MakeCertificate("same_name", "", kCaExtensions, "/O=Root");
  EXPECT_THAT(crl.CheckSignedBy(ReadCertificate(cli_, "same_name")),
              FailsWith(StatusCode::kUnauthenticated, "with this name, but another key"));
}

TEST_F(CrlTest, AForgedListIsNotBelieved) {
  cli_.MakeCertificate("forger", "", kCaExtensions, "/O=Root");
  cli_.MakeCrl("forged", "forger", {}, "");  // of version 1, which does not tell whose key it was
  EXPECT_THAT(Get(Read("forged")).CheckSignedBy(ReadCertificate(cli_, "root")),
              FailsWith(StatusCode::kUnauthenticated, "signature"));
  cli_.MakeCrl("crl", "root", {"0a0b0c"});
  cli_.Run("crl -in crl.crl -outform DER -out crl.der");
  std::string changed = cli_.Read("crl.der");
  changed.replace(changed.find("\x0a\x0b\x0c"), 3, "\x0a\x0b\x0d");
  EXPECT_THAT(Get(Crl::FromDer(changed)).CheckSignedBy(ReadCertificate(cli_, "root")),
              FailsWith(StatusCode::kUnauthenticated, "signature"));
}

TEST_F(CrlTest, IsNotBelievedFromACaThatMayNotSignLists) {
  cli_.MakeCrl("crl", "root");
  cli_.MakeCertificate("root", "",
                       "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
                       "subjectKeyIdentifier=hash\n",
                       "/O=Root");  // the same key in another certificate
  EXPECT_THAT(Get(Read("crl")).CheckSignedBy(ReadCertificate(cli_, "root")),
              FailsWith(StatusCode::kFailedPrecondition, "no key usage cRLSign"));
}

TEST_F(CrlTest, RefusesListsThatSayOnlyAPart) {
  EXPECT_THAT(WithExtensions("2.5.29.27=critical,DER:020101\n"), Refused("it is a delta"));
  EXPECT_THAT(WithExtensions("issuingDistributionPoint=critical,@idp\n[idp]\nonlyCA=TRUE\n"),
              Refused("issuing distribution point"));
  EXPECT_THAT(WithExtensions("issuingDistributionPoint=@idp\n[idp]\nindirectCRL=TRUE\n"),
              Refused("issuing distribution point"));
}

TEST_F(CrlTest, RefusesCriticalExtensionsThatItDoesNotKnow) {
  EXPECT_THAT(WithExtensions("1.2.3.4=critical,DER:0500\n"), Refused("critical extension 1.2.3.4"));
  EXPECT_TRUE(WithExtensions("1.2.3.4=DER:0500\n").ok());
  // certificateIssuer (RFC 5280 §5.3.3): from this entry on another CA is spoken for
  const std::string sections =
      "revoked=SEQUENCE:entries\n[entries]\none=SEQUENCE:entry\n[entry]\nserial=INTEGER:5\nwhen=UTCTIME:260101000000Z\n"
      "extensions=SEQUENCE:extensions\n[extensions]\nissuer=SEQUENCE:issuer\n[issuer]\noid=OID:2.5.29.29\n"
      "critical=BOOLEAN:TRUE\nvalue=FORMAT:HEX,OCTETSTRING:3000\n";
  EXPECT_THAT(WithParts(version_2_, dates_, sections), Refused("entry 1: a critical extension"));
}

TEST_F(CrlTest, RefusesAnExtensionThatAppearsTwice) {
  const std::string extension = "SEQUENCE:extension\n";
  EXPECT_THAT(WithParts(version_2_, dates_, "extensions=EXPLICIT:0,SEQUENCE:extensions\n",
                        "[extensions]\na=" + extension + "b=" + extension +
                            "[extension]\noid=OID:2.5.29.20\nvalue=FORMAT:HEX,OCTETSTRING:020105\n"),
              Refused("appears twice"));
}

TEST_F(CrlTest, RefusesAListWithoutAnEnd) {
  EXPECT_TRUE(WithParts(version_2_, dates_).ok());
  EXPECT_THAT(WithParts(version_2_, "this=UTCTIME:260101000000Z\n"), Refused("nextUpdate"));
  EXPECT_THAT(WithParts(version_2_, "this=UTCTIME:260101000000Z\nnext=UTCTIME:260101000000Z\n"),
              Refused("ends before it begins"));
}

TEST_F(CrlTest, RefusesOtherVersions) {
  EXPECT_THAT(WithParts("version=INTEGER:2\n", dates_), Refused("version 3"));
  EXPECT_THAT(WithParts("", dates_, "extensions=EXPLICIT:0,SEQUENCE:extensions\n",
                        "[extensions]\na=SEQUENCE:extension\n[extension]\noid=OID:2.5.29.20\n"
                        "value=FORMAT:HEX,OCTETSTRING:020105\n"),
              Refused("extensions in version 1"));
}

TEST_F(CrlTest, SerialNumbersHaveTwentyBytesAtMost) {
  const auto with_serial = [&](const std::string& hex) {
    return WithParts(
        version_2_, dates_, "revoked=SEQUENCE:entries\n",
        "[entries]\none=SEQUENCE:entry\n[entry]\nserial=INTEGER:" + hex + "\nwhen=UTCTIME:260101000000Z\n");
  };
  EXPECT_EQ(Get(with_serial("0x" + std::string(40, '7'))).fields().entries.at(0).serial_hex, std::string(40, '7'));
  EXPECT_EQ(Get(with_serial("-5")).fields().entries.at(0).serial_hex, "-05");
  EXPECT_THAT(with_serial("0x" + std::string(42, '7')), Refused("21 bytes"));
}

TEST_F(CrlTest, RefusesBytesThatAreNotExactlyOneListInDer) {
  cli_.MakeCrl("crl", "root", {"05"});
  cli_.Run("crl -in crl.crl -outform DER -out crl.der");
  const std::string der = cli_.Read("crl.der");
  EXPECT_TRUE(Crl::FromDer(der).ok());
  EXPECT_THAT(Crl::FromDer(""), Refused("read CRL"));
  EXPECT_THAT(Crl::FromDer(der + std::string(1, '\0')), Refused("1 bytes follow it"));
  for (std::size_t size = 1; size < der.size(); size += 7) EXPECT_THAT(Crl::FromDer(der.substr(0, size)), Refused(""));
  ASSERT_EQ(der[1], '\x81');  // a length in one byte, here written in two
  EXPECT_THAT(Crl::FromDer(std::string("\x30\x82\x00", 3) + der.substr(2)), Refused("not encoded as DER"));
  EXPECT_THAT(Crl::FromDer(ReadCertificate(cli_, "root").der()), Refused("read CRL"));
}

TEST_F(CrlTest, DoesNotReadMoreThanItsBound) {
  EXPECT_THAT(Crl::FromDer(std::string(kMaxCrlBytes + 1, '\x30')), Refused("at most 4194304 are read"));
}

}  // namespace
}  // namespace lanyard::testing
