#include "pki/jwk_set.h"

#include "tests/unit/pki/token_testing.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;

// A set of one key that another program wrote.
json OneKey(const char* kid = "other") {
  json entry = json::parse(kTokenVectors[0].jwk);
  entry["kid"] = kid;
  return {{"keys", {entry}}};
}

Result<std::vector<JwtAuthority>> Parse(const json& set) {
  return ParseJwkSet(set.dump(), kJwtUse);
}

TEST(JwkSetTest, ReadsKeysOfAnotherProgramInTheirOrder) {
  json set{{"keys", json::array()}};
  for (const TokenVector& vector : kTokenVectors) {
    json entry = json::parse(vector.jwk);
    entry["kid"] = vector.algorithm;
    set["keys"].push_back(entry);
  }
  const auto authorities = Get(Parse(set));
  ASSERT_EQ(authorities.size(), std::size(kTokenVectors));
  for (std::size_t i = 0; i < authorities.size(); ++i) {
    EXPECT_EQ(authorities[i].key_id(), kTokenVectors[i].algorithm);
    EXPECT_TRUE(authorities[i].key().SameAs(KeyFromJwk(kTokenVectors[i].jwk)));
  }
}

TEST(JwkSetTest, WhatIsWrittenIsReadBackAndSaysNoUse) {
  const JwtAuthority authority = Get(JwtAuthority::Create(Get(PrivateKey::Generate(KeyType::kEcP256)).public_key()));
  const std::string written = WriteJwkSet({authority});
  EXPECT_EQ(Get(ParseJwkSet(written, kWitUse)), std::vector{authority});
  EXPECT_FALSE(json::parse(written)["keys"][0].contains("use"));
  EXPECT_THAT(Get(ParseJwkSet(WriteJwkSet({}), kJwtUse)), ::testing::IsEmpty());
}

TEST(JwkSetTest, AKeyForAnythingElseIsRefused) {  // Workload API §6.2.2
  for (const char* use : {"x509-svid", "wit-svid", "enc", ""}) {
    json set = OneKey();
    set["keys"][0]["use"] = use;
    EXPECT_THAT(Parse(set), Refused("entry 1 of \"keys\": its use is not jwt-svid")) << use;
  }
  json set = OneKey();
  set["keys"][0]["use"] = 7;
  EXPECT_THAT(Parse(set), Refused("its use"));
  for (const char* use : {"jwt-svid", "sig"}) {
    set["keys"][0]["use"] = use;
    EXPECT_EQ(Get(Parse(set)).size(), 1u) << use;
  }
}

TEST(JwkSetTest, EntriesOfUnknownTypesAreSkippedAndBadOnesAreNot) {  // RFC 7517 §5
  json set = OneKey();
  set["keys"].push_back({{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "AAAA"}});
  set["keys"].push_back({{"kty", "oct"}, {"k", "AAAA"}});
  EXPECT_EQ(Get(Parse(set)).size(), 1u);
  for (const json& bad : {json(1), json::object(), json{{"kty", 1}}, json{{"kty", "EC"}, {"kid", "a"}}}) {
    json with = OneKey();
    with["keys"].push_back(bad);
    EXPECT_THAT(Parse(with), Refused("entry 2 of \"keys\"")) << bad;
  }
  json nameless = OneKey();
  nameless["keys"][0].erase("kid");
  EXPECT_THAT(Parse(nameless), Refused("\"kid\" is missing"));
}

TEST(JwkSetTest, RefusesWhatIsNoSet) {
  for (const char* bad : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":null})", R"({"keys":[],"keys":[]})"}) {
    EXPECT_THAT(ParseJwkSet(bad, kJwtUse), Refused("read JWK Set")) << bad;
  }
}

}  // namespace
}  // namespace lanyard::testing
