#include "pki/bundle.h"

#include <nlohmann/json.hpp>

#include "pki/base64.h"
#include "pki/verifier.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BundleTest : public ::testing::Test {
 protected:
  Certificate MakeCa(const std::string& name, const std::string& algorithm = "EC -pkeyopt ec_paramgen_curve:P-256") {
    cli_.MakeKey(name, algorithm);
    cli_.MakeCertificate(name, "", kCaExtensions + Uri("spiffe://example.org/"));
    return ReadCertificate(cli_, name);
  }

  // An entry in the shape of X509-SVID §6.1, its certificate and numbers taken from the openssl program's output.
  json EcEntry(const std::string& name) {
    cli_.Run("x509 -in " + name + ".crt -outform DER -out " + name + ".der");
    std::string x5c = cli_.Run("base64 -A -in " + name + ".der");
    cli_.Run("pkey -in " + name + ".key -pubout -outform DER -out " + name + ".spki");
    const std::string spki = cli_.Read(name + ".spki");
    const std::string point = spki.substr(spki.size() - 64);
    return {{"kty", "EC"},
            {"use", "x509-svid"},
            {"crv", "P-256"},
            {"x", Base64UrlEncode(point.substr(0, 32))},
            {"y", Base64UrlEncode(point.substr(32))},
            {"x5c", {x5c}}};
  }

  Result<Bundle> Parse(const json& document) { return Bundle::ParseDocument(Td(), document.dump()); }

  OpensslCli cli_;
};

TEST_F(BundleTest, ReadsADocumentInTheStandardsForm) {
  const Certificate a = MakeCa("a"), b = MakeCa("b");
  const Bundle bundle =
      Get(Parse({{"spiffe_sequence", 7}, {"spiffe_refresh_hint", 2419200}, {"keys", {EcEntry("a"), EcEntry("b")}}}));
  EXPECT_EQ(bundle.trust_domain(), Td());
  EXPECT_THAT(bundle.x509_authorities(), ElementsAre(a, b));
  EXPECT_EQ(bundle.sequence_number(), 7u);
  EXPECT_EQ(bundle.refresh_hint(), hours(24 * 28));
  EXPECT_EQ(bundle.X509Der(), a.der() + b.der());
  EXPECT_EQ(bundle.X509Pem(), cli_.Read("a.crt") + cli_.Read("b.crt"));
}

TEST_F(BundleTest, WritesWhatAnotherProgramsNumbersSay) {
  MakeCa("a");
  json document = json::parse(Get(Bundle::Create(Td(), {ReadCertificate(cli_, "a")}, {3, seconds(300)})).ToDocument());
  EXPECT_EQ(document, (json{{"spiffe_sequence", 3}, {"spiffe_refresh_hint", 300}, {"keys", {EcEntry("a")}}}));
  EXPECT_FALSE(document["keys"][0].contains("kid"));  // X509-SVID §6.1
}

TEST_F(BundleTest, RsaNumbersAreThoseOfOpenssl) {
  const Certificate rsa = MakeCa("rsa", "RSA -pkeyopt rsa_keygen_bits:2048");
  const json entry = json::parse(Get(Bundle::Create(Td(), {rsa})).ToDocument())["keys"][0];
  EXPECT_EQ(entry["kty"], "RSA");
  EXPECT_EQ(entry["e"], "AQAB");
  const std::string n = Get(Base64UrlDecode(entry["n"].get<std::string>()));
  EXPECT_EQ(n.size(), 256u);
  std::string hex;
  for (const char c : n) hex += fmt::format("{:02X}", static_cast<unsigned char>(c));
  EXPECT_EQ(cli_.Run("x509 -in rsa.crt -noout -modulus"), "Modulus=" + hex + "\n");
}

TEST_F(BundleTest, EveryKeyTypeRoundTrips) {
  std::vector<Certificate> authorities;
  for (const char* algorithm : {"EC -pkeyopt ec_paramgen_curve:P-256", "EC -pkeyopt ec_paramgen_curve:P-384",
                                "EC -pkeyopt ec_paramgen_curve:P-521", "RSA -pkeyopt rsa_keygen_bits:3072"}) {
    authorities.push_back(MakeCa("k" + std::to_string(authorities.size()), algorithm));
  }
  const Bundle bundle = Get(Bundle::Create(Td(), authorities, {~std::uint64_t{0}, seconds(1)}));
  const Bundle again = Get(Bundle::ParseDocument(Td(), bundle.ToDocument()));
  EXPECT_EQ(again.x509_authorities(), authorities);
  EXPECT_EQ(again.sequence_number(), ~std::uint64_t{0});
  EXPECT_EQ(again.ToDocument(), bundle.ToDocument());
  EXPECT_TRUE(again.SameAuthorities(bundle));
}

TEST_F(BundleTest, EntriesOfUnknownUseOrTypeAreSkipped) {
  const Certificate a = MakeCa("a");
  json other = EcEntry("a"), no_use = EcEntry("a"), upper = EcEntry("a"), okp = EcEntry("a"), no_type = EcEntry("a");
  other["use"] = "other-svid";
  no_use.erase("use");
  upper["use"] = "X509-SVID";
  okp["kty"] = "OKP";
  no_type.erase("kty");
  EXPECT_THAT(Get(Parse({{"keys", {other, no_use, upper, okp, no_type}}})).x509_authorities(), IsEmpty());
  EXPECT_THAT(Get(Parse({{"keys", {other, EcEntry("a")}}})).x509_authorities(), ElementsAre(a));
}

TEST_F(BundleTest, EntriesWithoutX5cAreSkippedAndOnlyTheFirstValueCounts) {
  const Certificate a = MakeCa("a");
  MakeCa("b");
  json none = EcEntry("a"), empty = EcEntry("a"), two = EcEntry("a");
  none.erase("x5c");
  empty["x5c"] = json::array();
  two["x5c"].push_back(EcEntry("b")["x5c"][0]);
  EXPECT_THAT(Get(Parse({{"keys", {none, empty, two}}})).x509_authorities(), ElementsAre(a));
}

TEST_F(BundleTest, AnEmptyBundleIsValidAndTrustsNothing) {
  const Bundle bundle = Get(Parse({{"keys", json::array()}}));
  EXPECT_THAT(bundle.x509_authorities(), IsEmpty());
  EXPECT_EQ(bundle.X509Der(), "");
  EXPECT_EQ(bundle.ToDocument(), R"({"keys":[]})");
}

TEST_F(BundleTest, BrokenDocumentsAreErrorsNotEmptyBundles) {
  for (const char* text : {"", "[]", "{", "null", "{}", R"({"keys":{}})", R"({"keys":null})", R"({"keys":[1]})"}) {
    EXPECT_FALSE(Bundle::ParseDocument(Td(), text).ok()) << text;
  }
  EXPECT_FALSE(Bundle::ParseDocument(Td(), std::string(200000, '[')).ok());
}

TEST_F(BundleTest, AnEntryThatClaimsACertificateMustHoldOne) {
  MakeCa("a");
  for (const json& x5c : {json("text"), json{{"a", 1}}, json::array({1}), json::array({""}), json::array({"AAAA"}),
                          json::array({"not base64"})}) {
    json entry = EcEntry("a");
    entry["x5c"] = x5c;
    EXPECT_THAT(Parse({{"keys", {entry}}}), Refused("entry 1 of \"keys\"")) << x5c;
  }
}

TEST_F(BundleTest, AnEntrysNumbersMustBeTheCertificates) {
  MakeCa("a");
  MakeCa("b");
  json wrong = EcEntry("a");
  wrong["x5c"] = EcEntry("b")["x5c"];
  EXPECT_THAT(Parse({{"keys", {wrong}}}), Refused("not the one of the certificate"));
  json kind = EcEntry("a");
  kind["kty"] = "RSA";
  EXPECT_THAT(Parse({{"keys", {kind}}}), Refused("not the one of the certificate"));
}

TEST_F(BundleTest, SequenceAndHintAreUnsignedIntegers) {
  for (const char* name : {"spiffe_sequence", "spiffe_refresh_hint"}) {
    for (const char* value : {"-1", "1.5", "\"1\"", "18446744073709551616", "1e3"}) {
      EXPECT_THAT(Bundle::ParseDocument(Td(), fmt::format(R"({{"keys":[],"{}":{}}})", name, value)), Refused(name))
          << value;
    }
  }
  EXPECT_EQ(Get(Bundle::ParseDocument(Td(), R"({"keys":[],"spiffe_sequence":18446744073709551615})")).sequence_number(),
            ~std::uint64_t{0});
  EXPECT_EQ(
      Get(Bundle::ParseDocument(Td(), R"({"keys":[],"spiffe_refresh_hint":18446744073709551615})")).refresh_hint(),
      hours(24 * 366));
}

TEST_F(BundleTest, AuthoritiesAreDeduplicatedInStableOrder) {
  const Certificate a = MakeCa("a"), b = MakeCa("b");
  EXPECT_THAT(Get(Bundle::Create(Td(), {b, a, b, a})).x509_authorities(), ElementsAre(b, a));
  EXPECT_FALSE(Get(Bundle::Create(Td(), {a, b})).SameAuthorities(Get(Bundle::Create(Td(), {b, a}))));
  EXPECT_FALSE(Get(Bundle::Create(Td(), {a})).SameAuthorities(Get(Bundle::Create(Td("example.com"), {a}))));
  EXPECT_TRUE(Get(Bundle::Create(Td(), {a}, {1, {}})).SameAuthorities(Get(Bundle::Create(Td(), {a}, {2, {}}))));
}

TEST_F(BundleTest, RefusesALeafAsAuthority) {
  cli_.MakeCertificate("leaf", "", kLeafExtensions + Uri("spiffe://example.org/a"));
  EXPECT_THAT(Bundle::Create(Td(), {ReadCertificate(cli_, "leaf")}), Refused("may not sign certificates"));
  cli_.MakeCertificate("odd", "", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\n");
  EXPECT_THAT(Bundle::Create(Td(), {ReadCertificate(cli_, "odd")}), Refused("may not sign certificates"));
}

TEST_F(BundleTest, AnAuthorityWhoseKeyHasNoJwkFormCountsAndIsLeftOutOfTheDocument) {
  const Certificate a = MakeCa("a"), ed = MakeCa("ed", "ED25519"),
                    k1 = MakeCa("k1", "EC -pkeyopt ec_paramgen_curve:secp256k1");
  const Bundle bundle = Get(Bundle::Create(Td(), {ed, a, k1}));
  EXPECT_THAT(bundle.x509_authorities(), ElementsAre(ed, a, k1));
  EXPECT_EQ(bundle.X509Der(), ed.der() + a.der() + k1.der());
  EXPECT_THAT(Get(Bundle::ParseDocument(Td(), bundle.ToDocument())).x509_authorities(), ElementsAre(a));
  for (const char* authority : {"ed", "k1"}) {
    cli_.MakeCertificate("leaf", authority, kLeafExtensions + Uri("spiffe://example.org/x"));
    const std::vector<Certificate> chain = {ReadCertificate(cli_, "leaf")};
    EXPECT_EQ(Get(VerifyX509Svid(chain, BundleSet({bundle}), Now() + seconds(1))), Id("spiffe://example.org/x"));
  }
}

TEST_F(BundleTest, ASetFindsByTrustDomainOnly) {
  const Certificate a = MakeCa("a");
  BundleSet set({Get(Bundle::Create(Td(), {a})), Get(Bundle::Create(Td("other.org"), {}))});
  EXPECT_THAT(set.Find(Td())->x509_authorities(), ElementsAre(a));
  EXPECT_EQ(set.Find(Td("unknown.org")), nullptr);
  EXPECT_EQ(set.Find(Td("sub.example.org")), nullptr);
  set.Put(Get(Bundle::Create(Td(), {})));
  EXPECT_THAT(set.Find(Td())->x509_authorities(), IsEmpty());
  EXPECT_EQ(set.all().size(), 2u);
}

}  // namespace
}  // namespace lanyard::testing
