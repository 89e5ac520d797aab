#include "pki/jwk.h"

#include "pki/jws_algorithm.h"
#include "tests/unit/pki/token_testing.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;

json Written(const PublicKey& key) {
  nlohmann::ordered_json object;
  Get(JwkMembersOf(key)).PutInto(object);
  return json::parse(object.dump());
}

json EcJwk(std::string_view crv = "P-256") {
  const char* algorithm = crv == "P-256" ? "ES256" : crv == "P-384" ? "ES384" : "ES512";
  for (const TokenVector& vector : kTokenVectors) {
    if (std::string_view(vector.algorithm) == algorithm) return json::parse(vector.jwk);
  }
  return {};
}

json RsaJwk() {
  return json::parse(kTokenVectors[0].jwk);
}

TEST(JwkTest, ReadsAndWritesWhatAnotherProgramWrites) {
  for (const TokenVector& vector : kTokenVectors) {
    const PublicKey key = KeyFromJwk(vector.jwk);
    EXPECT_EQ(Written(key), json::parse(vector.jwk)) << vector.algorithm;
    EXPECT_TRUE(CheckKeyFits(Get(ParseJwsAlgorithm(vector.algorithm)), key).ok());
  }
}

TEST(JwkTest, KeysOfOpensslSurviveTheWayThrough) {
  for (const char* algorithm : {"EC -pkeyopt ec_paramgen_curve:P-256", "EC -pkeyopt ec_paramgen_curve:P-384",
                                "EC -pkeyopt ec_paramgen_curve:P-521", "RSA -pkeyopt rsa_keygen_bits:2048",
                                "RSA -pkeyopt rsa_keygen_bits:3072 -pkeyopt rsa_keygen_pubexp:3"}) {
    const OpensslCli cli;
    cli.MakeKey("other", algorithm);
    cli.Run("pkey -in other.key -pubout -out other.pub");
    const PublicKey key = Get(PublicKey::FromPem(cli.Read("other.pub")));
    EXPECT_TRUE(Get(PublicKeyFromJwk(Written(key))).SameAs(key)) << algorithm;
  }
}

TEST(JwkTest, OtherMembersDoNotMatter) {
  json jwk = EcJwk();
  for (const char* name : {"use", "key_ops", "alg", "kid", "x5c", "x5u", "ext", "n"}) jwk[name] = "anything";
  EXPECT_TRUE(Get(PublicKeyFromJwk(jwk)).SameAs(KeyFromJwk(EcJwk().dump())));
}

TEST(JwkTest, RefusesAPointThatIsNotOnTheCurve) {
  for (const char* crv : {"P-256", "P-384", "P-521"}) {
    for (const char* coordinate : {"x", "y"}) {
      json jwk = EcJwk(crv);
      std::string bytes = Get(Base64UrlDecode(jwk[coordinate].get<std::string>()));
      bytes.back() = static_cast<char>(bytes.back() ^ 1);
      jwk[coordinate] = Base64UrlEncode(bytes);
      EXPECT_THAT(PublicKeyFromJwk(jwk), Refused("no public key")) << crv;
    }
    json zero = EcJwk(crv), large = EcJwk(crv);
    const std::size_t length = Get(Base64UrlDecode(zero["x"].get<std::string>())).size();
    for (const char* coordinate : {"x", "y"}) {
      zero[coordinate] = Base64UrlEncode(std::string(length, '\0'));
      large[coordinate] = Base64UrlEncode(std::string(length, '\xff'));  // above the field's prime
    }
    EXPECT_THAT(PublicKeyFromJwk(zero), Refused("no public key"));
    EXPECT_THAT(PublicKeyFromJwk(large), Refused("no public key"));
  }
}

TEST(JwkTest, ACoordinateHasTheFullLengthOfTheCurve) {  // RFC 7518 §6.2.1.2
  json jwk = EcJwk();
  const std::string x = Get(Base64UrlDecode(jwk["x"].get<std::string>()));
  for (const std::string& bad : {x.substr(1), '\0' + x, x + '\0', std::string()}) {
    jwk["x"] = Base64UrlEncode(bad);
    EXPECT_THAT(PublicKeyFromJwk(jwk), Refused("has 32 bytes"));
  }
  json other = EcJwk();
  other["crv"] = "P-384";
  EXPECT_THAT(PublicKeyFromJwk(other), Refused("has 48 bytes"));
}

TEST(JwkTest, RefusesWhatIsNoKeyForTokens) {
  const auto with = [](json jwk, const char* name, const json& value) {
    jwk[name] = value;
    return jwk;
  };
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "kty", "oct")), Refused("\"kty\" is neither"));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "kty", "OKP")), Refused("\"kty\" is neither"));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "kty", "ec")), Refused("\"kty\" is neither"));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "kty", 1)), Refused("\"kty\" is neither"));
  EXPECT_THAT(PublicKeyFromJwk(json::object()), Refused("\"kty\" is neither"));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "kty", "RSA")), Refused("\"n\" is missing"));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "crv", "secp256k1")), Refused("\"crv\" is none of"));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "x", "====")), Refused("\"x\""));
  EXPECT_THAT(PublicKeyFromJwk(with(EcJwk(), "y", 7)), Refused("\"y\" is missing or not a string"));
}

TEST(JwkTest, RefusesAPublishedPrivateKey) {
  json ec = EcJwk(), rsa = RsaJwk();
  ec["d"] = rsa["d"] = "AQ";
  EXPECT_THAT(PublicKeyFromJwk(ec), Refused("private key"));
  EXPECT_THAT(PublicKeyFromJwk(rsa), Refused("private key"));
}

TEST(JwkTest, RsaNumbersHaveOneSpellingAndSensibleValues) {
  const std::string n = Get(Base64UrlDecode(RsaJwk()["n"].get<std::string>()));
  const auto with = [](const char* name, const std::string& bytes) {
    json jwk = RsaJwk();
    jwk[name] = Base64UrlEncode(bytes);
    return jwk;
  };
  EXPECT_THAT(PublicKeyFromJwk(with("n", '\0' + n)), Refused("zeros before it"));
  EXPECT_THAT(PublicKeyFromJwk(with("n", "")), Refused("empty"));
  EXPECT_THAT(PublicKeyFromJwk(with("n", n.substr(1))), Refused("bits; 2048 to 8192"));
  EXPECT_THAT(PublicKeyFromJwk(with("n", std::string(1025, '\x7f'))), Refused("1025 bytes"));
  EXPECT_THAT(PublicKeyFromJwk(with("n", n.substr(0, n.size() - 1) + '\0')), Refused("even"));
  for (const std::string& e : {std::string("\1"), std::string("\2"), std::string("\1\0\0", 3), std::string(9, '\1')}) {
    EXPECT_THAT(PublicKeyFromJwk(with("e", e)), Refused("\"e\" is not an odd number"));
  }
  EXPECT_TRUE(PublicKeyFromJwk(with("e", "\3")).ok());
}

TEST(JwkTest, ThumbprintIsTheExamplesOfRfc7638) {  // §3.1
  const PublicKey key = KeyFromJwk(
      R"({"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPe)"
      R"(bWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZ)"
      R"(gnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1j)"
      R"(F44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"})");
  EXPECT_EQ(Get(JwkThumbprint(Get(JwkMembersOf(key)))), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

TEST(JwkTest, ThumbprintOfAnEcKeyIsOpensslsDigestOfItsMembers) {
  const OpensslCli cli;
  const json jwk = EcJwk();
  cli.Write("members", fmt::format(R"({{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}})", jwk["x"].get<std::string>(),
                                   jwk["y"].get<std::string>()));
  cli.Run("dgst -sha256 -binary -out digest members");
  EXPECT_EQ(Get(JwkThumbprint(Get(JwkMembersOf(KeyFromJwk(jwk.dump()))))), Base64UrlEncode(cli.Read("digest")));
}

}  // namespace
}  // namespace lanyard::testing
