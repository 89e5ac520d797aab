#include "pki/jwk.h"

#include "pki/jwk_private.h"
#include "pki/jws_algorithm.h"
#include "pki/jws_signature.h"
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

// Of a private JWK: the number as hexadecimal digits.
std::string SecretHex(const json& jwk, const char* name) {
  return HexOf(Get(Base64UrlDecode(jwk[name].get<std::string>())));
}

// The numbers in `openssl pkey -text`, without white space, colons and a zero before them.
std::string OpensslNumber(const std::string& text, const std::string& label) {
  std::string hex;
  for (std::size_t at = text.find("\n" + label + ":\n") + label.size() + 3; text[at] == ' ';) {
    const std::size_t end = text.find('\n', at);
    for (const char c : text.substr(at, end - at)) {
      if (c != ' ' && c != ':') hex += c;
    }
    at = end + 1;
  }
  return hex;
}

TEST(JwkTest, APrivateKeyIsWrittenWithOpensslsNumbers) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const OpensslCli cli;
    const PrivateKey key = Get(PrivateKey::Generate(type));
    cli.Write("key.pem", Get(key.ToPem()).expose());
    const std::string text = "\n" + cli.Run("pkey -in key.pem -noout -text");
    const SecretBytes secret = Get(PrivateKeyToJwk(key));
    json jwk = json::parse(secret.expose());
    EXPECT_EQ(jwk["alg"], JwsAlgorithmName(JwsAlgorithmFor(type)));
    if (type == KeyType::kRsa2048) {
      for (const auto& [name, label] :
           {std::pair("d", "privateExponent"), std::pair("p", "prime1"), std::pair("q", "prime2"),
            std::pair("dp", "exponent1"), std::pair("dq", "exponent2"), std::pair("qi", "coefficient")}) {
        std::string expected = OpensslNumber(text, label);
        while (expected.starts_with("00")) expected.erase(0, 2);
        EXPECT_EQ(SecretHex(jwk, name), expected) << name;
      }
    } else {
      const std::size_t digits = type == KeyType::kEcP256 ? 64 : 96;
      const std::string found = OpensslNumber(text, "priv");
      EXPECT_EQ(SecretHex(jwk, "d").size(), digits);
      EXPECT_EQ(found.substr(found.size() > digits ? found.size() - digits : 0),
                SecretHex(jwk, "d").substr(digits - std::min(found.size(), digits)));
    }
    for (const char* name : {"d", "p", "q", "dp", "dq", "qi", "alg"}) jwk.erase(name);
    EXPECT_TRUE(Get(PublicKeyFromJwk(jwk)).SameAs(key.public_key()));
  }
}

TEST(JwkTest, ZerosBeforeAnEcPrivateKeyStay) {  // RFC 7518 §6.2.2.1
  // The scalar 1: its point is the generator, SEC 2 §2.4.2.
  const OpensslCli cli;
  cli.Write("one.cnf", "asn1=SEQUENCE:key\n[key]\nversion=INTEGER:1\nkey=FORMAT:HEX,OCTETSTRING:" +
                           std::string(62, '0') + "01\ncurve=EXPLICIT:0,OID:prime256v1\n");
  cli.Run("asn1parse -genconf one.cnf -noout -out one.der");
  cli.Run("ec -inform DER -in one.der -out one.key");
  const json jwk = json::parse(Get(PrivateKeyToJwk(ReadKey(cli, "one"))).expose());
  EXPECT_EQ(SecretHex(jwk, "d"), std::string(62, '0') + "01");
}

}  // namespace
}  // namespace lanyard::testing
