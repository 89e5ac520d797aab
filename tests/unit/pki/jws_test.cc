#include "pki/jws.h"

#include "tests/unit/pki/token_testing.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;

constexpr std::string_view kHeader = R"({"alg":"ES256"})";

TEST(JwsTest, ReadsTokensOfAnotherProgramWithEveryAlgorithm) {
  for (const TokenVector& vector : kTokenVectors) {
    const Jws jws = Get(Jws::Parse(vector.token));
    EXPECT_EQ(JwsAlgorithmName(jws.algorithm()), vector.algorithm);
    EXPECT_EQ(jws.key_id(), "other");
    EXPECT_EQ(jws.type(), "JWT");
    EXPECT_EQ(json::parse(jws.payload())["sub"], "spiffe://example.org/other");
    EXPECT_TRUE(jws.CheckSignature(KeyFromJwk(vector.jwk)).ok()) << vector.algorithm;
  }
}

TEST(JwsTest, ReadsTheExampleOfRfc7515) {  // appendix A.3
  const Jws jws =
      Get(Jws::Parse("eyJhbGciOiJFUzI1NiJ9."
                     "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf"
                     "Q.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"));
  const PublicKey key = KeyFromJwk(
      R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
  EXPECT_TRUE(jws.CheckSignature(key).ok());
  EXPECT_EQ(jws.payload(), "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}");
  EXPECT_EQ(jws.key_id(), std::nullopt);
  EXPECT_EQ(jws.type(), std::nullopt);
}

TEST(JwsTest, AnotherKeyOfTheSameKindDidNotSignIt) {
  const PrivateKey other = Get(PrivateKey::Generate(KeyType::kEcP256));
  for (const TokenVector& vector : kTokenVectors) {
    if (std::string_view(vector.algorithm) != "ES256") continue;
    EXPECT_THAT(Get(Jws::Parse(vector.token)).CheckSignature(other.public_key()),
                FailsWith(StatusCode::kUnauthenticated, "not valid"));
  }
}

TEST(JwsTest, HeaderAndPayloadAreUnderTheSignature) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const std::string token = Get(MakeJws({.key_id = "k", .type = "JWT"}, "{}", Get(JwsSigner::For(key))));
  const std::string signature = token.substr(token.rfind('.') + 1);
  for (const auto& [header, payload] : {std::pair(R"({"alg":"ES256","kid":"other","typ":"JWT"})", "{}"),
                                        std::pair(R"({"alg":"ES256","kid":"k","typ":"JWT"})", R"({"a":1})"),
                                        std::pair(R"({"kid":"k","alg":"ES256","typ":"JWT"})", "{}")}) {
    EXPECT_THAT(Get(Jws::Parse(Unsigned(header, payload, signature))).CheckSignature(key.public_key()),
                FailsWith(StatusCode::kUnauthenticated, "not valid"));
  }
}

TEST(JwsTest, RefusesAlgorithmsWithoutSignatureOrWithASharedSecret) {
  for (const char* alg : {"none", "None", "NONE", "HS256", "HS384", "HS512", "", "EdDSA", "A128KW"}) {
    EXPECT_THAT(Jws::Parse(Unsigned(json{{"alg", alg}}.dump(), "{}")), Refused("\"alg\" is none of")) << alg;
    EXPECT_FALSE(Jws::Parse(Unsigned(json{{"alg", alg}}.dump(), "{}", "")).ok());
  }
  for (const char* header : {"{}", R"({"alg":1})", R"({"alg":null})", R"({"alg":["ES256"]})"}) {
    EXPECT_THAT(Jws::Parse(Unsigned(header, "{}")), Refused("\"alg\" is missing")) << header;
  }
}

TEST(JwsTest, RefusesAHeaderWithTwoAlgorithms) {
  EXPECT_THAT(Jws::Parse(Unsigned(R"({"alg":"ES256","alg":"none"})", "{}")), Refused("twice"));
  EXPECT_THAT(Jws::Parse(Unsigned(R"({"alg":"none","alg":"ES256"})", "{}")), Refused("twice"));
}

TEST(JwsTest, RefusesCriticalExtensions) {  // RFC 7515 §4.1.11
  for (const char* crit : {R"(["exp"])", R"(["b64"])", R"(["alg"])", "[]", "null", "1"}) {
    EXPECT_THAT(Jws::Parse(Unsigned(fmt::format(R"({{"alg":"ES256","b64":true,"crit":{}}})", crit), "{}")),
                Refused("\"crit\""))
        << crit;
  }
}

TEST(JwsTest, RefusesKeysInTheHeader) {
  for (const char* name : {"jwk", "jku", "x5u", "x5c"}) {
    EXPECT_THAT(Jws::Parse(Unsigned(json{{"alg", "ES256"}, {name, "x"}}.dump(), "{}")), Refused(name)) << name;
  }
}

TEST(JwsTest, RefusesKidAndTypThatAreNoText) {
  EXPECT_THAT(Jws::Parse(Unsigned(R"({"alg":"ES256","kid":1})", "{}")), Refused("\"kid\" is not a string"));
  EXPECT_THAT(Jws::Parse(Unsigned(R"({"alg":"ES256","typ":null})", "{}")), Refused("\"typ\" is not a string"));
}

TEST(JwsTest, RefusesEveryOtherForm) {
  const std::string header = Base64UrlEncode(kHeader);
  for (const std::string& text :
       {std::string(), std::string("."), std::string("a.b"), header, header + ".e30", header + ".e30.AAAA.AAAA",
        header + ".e30.AAAA.", header + ".e30.AAAA.AAAA.AAAA", std::string("...."),
        std::string(R"({"payload":"e30","signatures":[{"protected":"e30","signature":"AAAA"}]})"),
        std::string(R"({"payload":"e30","protected":"eyJhbGciOiJFUzI1NiJ9","signature":"AAAA"})")}) {
    EXPECT_THAT(Jws::Parse(text), Refused("three parts")) << text;
  }
  EXPECT_THAT(Jws::Parse(header + ".e30."), Refused("not signed"));
  EXPECT_THAT(Jws::Parse(".e30.AAAA"), Refused("its header"));
  EXPECT_TRUE(Jws::Parse(header + "..AAAA").ok());  // an empty payload is one; no SVID has it
}

TEST(JwsTest, EveryPartHasOneSpelling) {
  const std::string header = Base64UrlEncode(kHeader);
  for (const std::string& text :
       {header + "=.e30.AAAA", header + ".e30=.AAAA", header + ".e30.AA==", header + ".e31.AAAA", header + ".e30.AB",
        " " + header + ".e30.AAAA", header + ".e30.AAAA\n", header + ".e30.AA A", header + ".e30.A+/A"}) {
    EXPECT_FALSE(Jws::Parse(text).ok()) << text;
  }
}

TEST(JwsTest, TheLimitOfItsLengthIsExact) {
  const std::string start = Base64UrlEncode(kHeader) + ".";
  const std::string fits = start + std::string((kMaxTokenBytes - start.size() - 5) / 4 * 4, 'A') + ".AAAA";
  EXPECT_TRUE(Jws::Parse(fits).ok());
  const std::string too_long = std::string(kMaxTokenBytes + 1, 'A');
  EXPECT_THAT(Jws::Parse(too_long), Refused("at most 16384"));
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  EXPECT_THAT(MakeJws({.key_id = "k", .type = "JWT"}, std::string(12300, 'x'), Get(JwsSigner::For(key))),
              Refused("at most 16384"));
}

TEST(JwsTest, MakesAHeaderOfThreeMembersAndNothingElse) {
  for (const auto& [type, alg] : {std::pair(KeyType::kEcP256, "ES256"), std::pair(KeyType::kEcP384, "ES384"),
                                  std::pair(KeyType::kRsa2048, "RS256")}) {
    const PrivateKey key = Get(PrivateKey::Generate(type));
    const std::string token =
        Get(MakeJws({.key_id = "a \"key\"", .type = "JWT"}, R"({"a":1})", Get(JwsSigner::For(key))));
    EXPECT_EQ(json::parse(Get(Base64UrlDecode(token.substr(0, token.find('.'))))),
              (json{{"alg", alg}, {"kid", "a \"key\""}, {"typ", "JWT"}}));
    const Jws jws = Get(Jws::Parse(token));
    EXPECT_EQ(jws.payload(), R"({"a":1})");
    EXPECT_TRUE(jws.CheckSignature(key.public_key()).ok());
  }
}

}  // namespace
}  // namespace lanyard::testing
