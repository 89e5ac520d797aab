// The keys for tokens in a bundle; bundle_test.cc has everything else.
#include "pki/bundle.h"
#include "tests/unit/pki/token_testing.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// An entry as cryptography wrote it: the vector's key under this ID and use.
json Entry(const char* use, const char* kid, std::size_t vector = 3) {
  json entry = json::parse(kTokenVectors[vector].jwk);
  entry["use"] = use;
  entry["kid"] = kid;
  return entry;
}

Result<Bundle> Parse(const std::vector<json>& entries) {
  return Bundle::ParseDocument(Td(), json{{"keys", entries}}.dump());
}

JwtAuthority Made(const char* key_id) {
  return Get(JwtAuthority::Create(key_id, Get(PrivateKey::Generate(KeyType::kEcP256)).public_key()));
}

TEST(BundleTokensTest, ReadsKeysOfBothUsesWithEveryKindOfKey) {
  const Bundle bundle = Get(Parse(
      {Entry("jwt-svid", "b", 0), Entry("jwt-svid", "a", 3), Entry("wit-svid", "c", 4), Entry("wit-svid", "d", 5)}));
  EXPECT_THAT(bundle.jwt_authorities(), SizeIs(2));
  EXPECT_THAT(bundle.wit_authorities(), SizeIs(2));
  EXPECT_THAT(bundle.x509_authorities(), IsEmpty());
  EXPECT_TRUE(bundle.FindJwtAuthority("a")->key().SameAs(KeyFromJwk(kTokenVectors[3].jwk)));
  EXPECT_TRUE(bundle.FindJwtAuthority("b")->key().SameAs(KeyFromJwk(kTokenVectors[0].jwk)));
  EXPECT_TRUE(bundle.FindWitAuthority("d")->key().SameAs(KeyFromJwk(kTokenVectors[5].jwk)));
}

TEST(BundleTokensTest, AKeyIsFoundOnlyForItsOwnUseAndByItsExactId) {
  const Bundle bundle = Get(Parse({Entry("jwt-svid", "jwt"), Entry("wit-svid", "wit", 4)}));
  EXPECT_EQ(bundle.FindJwtAuthority("wit"), nullptr);
  EXPECT_EQ(bundle.FindWitAuthority("jwt"), nullptr);
  for (const char* id : {"", "JWT", "jw", "jwt ", "x"}) EXPECT_EQ(bundle.FindJwtAuthority(id), nullptr);
  EXPECT_NE(bundle.FindJwtAuthority("jwt"), nullptr);
}

TEST(BundleTokensTest, UnknownUsesAndTypesAreSkipped) {  // SPIFFE_Trust_Domain_and_Bundle §4.2
  json okp = Entry("jwt-svid", "okp"), oct = Entry("wit-svid", "oct"), upper = Entry("JWT-SVID", "upper"),
       sig = Entry("sig", "sig"), none = Entry("jwt-svid", "none");
  okp["kty"] = "OKP";
  oct["kty"] = "oct";
  none.erase("use");
  const Bundle bundle = Get(Parse({okp, oct, upper, sig, none}));
  EXPECT_THAT(bundle.jwt_authorities(), IsEmpty());
  EXPECT_THAT(bundle.wit_authorities(), IsEmpty());
}

TEST(BundleTokensTest, AKeyWithoutIdFailsTheDocument) {  // JWT-SVID §6.1, WIT-SVID §6.1
  for (const char* use : {"jwt-svid", "wit-svid"}) {
    json none = Entry(use, "x"), number = Entry(use, "x");
    none.erase("kid");
    number["kid"] = 1;
    EXPECT_THAT(Parse({none}), Refused("entry 1 of \"keys\": \"kid\" is missing"));
    EXPECT_THAT(Parse({number}), Refused("\"kid\" is missing"));
    EXPECT_THAT(Parse({Entry(use, "")}), Refused("key ID is empty"));
    EXPECT_THAT(Parse({Entry(use, std::string(1025, 'x').c_str())}), Refused("longer than 1024"));
  }
}

TEST(BundleTokensTest, ADamagedKeyFailsTheDocument) {
  json bent = Entry("jwt-svid", "x");
  bent["y"] = bent["x"];
  EXPECT_THAT(Parse({Entry("jwt-svid", "good", 4), bent}), Refused("entry 2 of \"keys\""));
}

TEST(BundleTokensTest, NoTwoKeysHaveOneId) {  // WIT-SVID §6.1
  EXPECT_THAT(Parse({Entry("jwt-svid", "x", 3), Entry("jwt-svid", "x", 4)}), Refused("same key ID"));
  EXPECT_THAT(Parse({Entry("wit-svid", "x", 3), Entry("wit-svid", "x", 4)}), Refused("same key ID"));
  EXPECT_THAT(Parse({Entry("jwt-svid", "x"), Entry("wit-svid", "x")}), Refused("same key ID"));
  EXPECT_THAT(Get(Parse({Entry("jwt-svid", "x"), Entry("jwt-svid", "x")})).jwt_authorities(), SizeIs(1));
}

TEST(BundleTokensTest, ADocumentWithANameTwiceIsRefused) {
  EXPECT_THAT(Bundle::ParseDocument(Td(), R"({"keys":[],"keys":[]})"), Refused("twice"));
  std::string text = json{{"keys", {Entry("jwt-svid", "x")}}}.dump();
  text.insert(text.find("\"kid\""), R"("kid":"y",)");
  EXPECT_THAT(Bundle::ParseDocument(Td(), text), Refused("twice"));
}

TEST(BundleTokensTest, TheSameKeysGiveTheSameBytesInWhateverOrderTheyCome) {
  const JwtAuthority a = Made("a"), b = Made("b"), c = Made("c"), d = Made("d");
  const Bundle one = Get(Bundle::Create(Td(), {}, {}, {.jwt = {a, b}, .wit = {c, d}}));
  const Bundle two = Get(Bundle::Create(Td(), {}, {}, {.jwt = {b, a, b}, .wit = {d, c}}));
  EXPECT_EQ(one.ToDocument(), two.ToDocument());
  EXPECT_EQ(one.JwtKeySet(), two.JwtKeySet());
  EXPECT_EQ(one.WitKeySet(), two.WitKeySet());
  EXPECT_TRUE(one.SameAuthorities(two));
}

TEST(BundleTokensTest, ADocumentIsReadBackAsItWas) {
  const Authority authority;
  const Bundle bundle = Get(Bundle::Create(Td(), {authority.root.certificate}, {7, seconds(60)},
                                           {.jwt = {Made("a"), Made("b")}, .wit = {Made("c")}}));
  const Bundle again = Get(Bundle::ParseDocument(Td(), bundle.ToDocument()));
  EXPECT_TRUE(again.SameAuthorities(bundle));
  EXPECT_EQ(again.ToDocument(), bundle.ToDocument());
  const json keys = json::parse(bundle.ToDocument())["keys"];
  EXPECT_EQ(keys[0]["use"], "x509-svid");
  EXPECT_EQ(keys[1]["use"], "jwt-svid");
  EXPECT_EQ(keys[1]["kid"], "a");
  EXPECT_EQ(keys[3]["use"], "wit-svid");
}

TEST(BundleTokensTest, AKeySetHasTheKeysOfItsUseAndNothingElse) {  // Workload API §6.2.2, §7.1
  const Authority authority;
  json jwt = Entry("jwt-svid", "j"), wit = Entry("wit-svid", "w", 4);
  json x509 = json::parse(Get(Bundle::Create(Td(), {authority.root.certificate})).ToDocument())["keys"][0];
  const Bundle bundle = Get(Parse({x509, jwt, wit}));
  jwt.erase("use");
  wit.erase("use");
  EXPECT_EQ(json::parse(bundle.JwtKeySet()), (json{{"keys", {jwt}}}));
  EXPECT_EQ(json::parse(bundle.WitKeySet()), (json{{"keys", {wit}}}));
  EXPECT_EQ(authority.bundle.JwtKeySet(), R"({"keys":[]})");
  EXPECT_EQ(authority.bundle.WitKeySet(), R"({"keys":[]})");
}

TEST(BundleTokensTest, AnotherKeyOrAnotherEndMakesAnotherBundle) {
  const PublicKey key = Get(PrivateKey::Generate(KeyType::kEcP256)).public_key();
  const JwtAuthority a = Get(JwtAuthority::Create("a", key)), ends = Get(JwtAuthority::Create("a", key, Now()));
  const Bundle bundle = Get(Bundle::Create(Td(), {}, {}, {.jwt = {a}}));
  EXPECT_FALSE(bundle.SameAuthorities(Get(Bundle::Create(Td(), {}))));
  EXPECT_FALSE(bundle.SameAuthorities(Get(Bundle::Create(Td(), {}, {}, {.wit = {a}}))));
  EXPECT_FALSE(bundle.SameAuthorities(Get(Bundle::Create(Td(), {}, {}, {.jwt = {Made("a")}}))));
  EXPECT_FALSE(bundle.SameAuthorities(Get(Bundle::Create(Td(), {}, {}, {.jwt = {ends}}))));
}

TEST(JwtAuthorityTest, ItsIdIsTheThumbprintUnlessOneIsGiven) {
  const PublicKey key = Get(PrivateKey::Generate(KeyType::kEcP256)).public_key();
  EXPECT_EQ(Get(JwtAuthority::Create(key)).key_id(), Get(JwkThumbprint(Get(JwkMembersOf(key)))));
  EXPECT_EQ(Get(JwtAuthority::Create("mine", key)).key_id(), "mine");
}

TEST(JwtAuthorityTest, RefusesKeysThatSignNoTokensAndIdsThatAreNoText) {
  for (const char* algorithm :
       {"RSA -pkeyopt rsa_keygen_bits:1024", "ED25519", "EC -pkeyopt ec_paramgen_curve:secp256k1"}) {
    const OpensslCli cli;
    cli.MakeKey("other", algorithm);
    cli.Run("pkey -in other.key -pubout -out other.pub");
    EXPECT_THAT(JwtAuthority::Create("x", Get(PublicKey::FromPem(cli.Read("other.pub")))), Refused("key")) << algorithm;
  }
  const PublicKey key = Get(PrivateKey::Generate(KeyType::kEcP256)).public_key();
  EXPECT_THAT(JwtAuthority::Create("\xff", key), Refused("not UTF-8"));
  EXPECT_THAT(JwtAuthority::Create("a\xc3", key), Refused("not UTF-8"));
  EXPECT_TRUE(JwtAuthority::Create("\xc3\xa9 \"x\"\n", key).ok());
}

}  // namespace
}  // namespace lanyard::testing
