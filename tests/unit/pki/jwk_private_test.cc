#include "pki/jwk_private.h"

#include "pki/jws_algorithm.h"
#include "tests/unit/pki/token_testing.h"

namespace lanyard::testing {
namespace {

using nlohmann::json;

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

TEST(JwkPrivateTest, AKeyIsWrittenWithOpensslsNumbers) {
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

TEST(JwkPrivateTest, ZerosBeforeAnEcPrivateKeyStay) {  // RFC 7518 §6.2.2.1
  // The scalar 1: its point is the generator, SEC 2 §2.4.2.
  const OpensslCli cli;
  cli.Write("one.cnf", "asn1=SEQUENCE:key\n[key]\nversion=INTEGER:1\nkey=FORMAT:HEX,OCTETSTRING:" +
                           std::string(62, '0') + "01\ncurve=EXPLICIT:0,OID:prime256v1\n");
  cli.Run("asn1parse -genconf one.cnf -noout -out one.der");
  cli.Run("ec -inform DER -in one.der -out one.key");
  const json jwk = json::parse(Get(PrivateKeyToJwk(ReadKey(cli, "one"))).expose());
  EXPECT_EQ(SecretHex(jwk, "d"), std::string(62, '0') + "01");
}

// RFC 7517 appendix A.2.
constexpr std::string_view kEcOfRfc7517 =
    R"({"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",)"
    R"("y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",)"
    R"("use":"enc","kid":"1"})";

std::string With(const char* name, const json& value) {
  json jwk = json::parse(kEcOfRfc7517);
  jwk[name] = value;
  return jwk.dump();
}

TEST(JwkPrivateTest, ReadsTheExampleOfRfc7517) {
  const PrivateKey key = Get(PrivateKeyFromJwk(kEcOfRfc7517));
  EXPECT_EQ(key.type(), KeyType::kEcP256);
  const json written = json::parse(Get(PrivateKeyToJwk(key)).expose());
  for (const char* name : {"x", "y", "d"}) EXPECT_EQ(written[name], json::parse(kEcOfRfc7517)[name]);
}

TEST(JwkPrivateTest, KeysOfOpensslSurviveTheWayThrough) {
  for (const char* algorithm : {"EC -pkeyopt ec_paramgen_curve:P-256", "EC -pkeyopt ec_paramgen_curve:P-384",
                                "RSA -pkeyopt rsa_keygen_bits:2048"}) {
    const OpensslCli cli;
    cli.MakeKey("other", algorithm);
    const PrivateKey key = Get(PrivateKeyFromJwk(Get(PrivateKeyToJwk(ReadKey(cli, "other"))).expose()));
    EXPECT_EQ(Get(key.ToPem()).expose(), Get(ReadKey(cli, "other").ToPem()).expose()) << algorithm;
  }
}

TEST(JwkPrivateTest, ReadsAnyLayoutOfTheJson) {
  const PrivateKey key = Get(PrivateKeyFromJwk(kEcOfRfc7517));
  const json jwk = json::parse(kEcOfRfc7517);
  EXPECT_TRUE(Get(PrivateKeyFromJwk(jwk.dump(4))).public_key().SameAs(key.public_key()));
  EXPECT_TRUE(Get(PrivateKeyFromJwk(With("note", "d\": \\ \u20ac"))).public_key().SameAs(key.public_key()));
}

TEST(JwkPrivateTest, RefusesNumbersThatDoNotBelongTogether) {
  EXPECT_THAT(PrivateKeyFromJwk(With("d", Base64UrlEncode(std::string(31, '\0') + '\1'))), Refused("read private JWK"));
  EXPECT_THAT(PrivateKeyFromJwk(With("d", Base64UrlEncode(std::string(32, '\0')))), Refused("read private JWK"));
  EXPECT_THAT(PrivateKeyFromJwk(With("d", Base64UrlEncode(std::string(32, '\xff')))), Refused("read private JWK"));
  json rsa = json::parse(Get(PrivateKeyToJwk(Get(PrivateKey::Generate(KeyType::kRsa2048)))).expose());
  std::swap(rsa["p"], rsa["dp"]);
  EXPECT_THAT(PrivateKeyFromJwk(rsa.dump()), Refused("read private JWK"));
}

TEST(JwkPrivateTest, RefusesAKeyOfWhichANumberIsMissing) {
  json ec = json::parse(kEcOfRfc7517);
  ec.erase("d");
  EXPECT_THAT(PrivateKeyFromJwk(ec.dump()), Refused("\"d\" is missing"));
  const json rsa = json::parse(Get(PrivateKeyToJwk(Get(PrivateKey::Generate(KeyType::kRsa2048)))).expose());
  for (const char* name : {"n", "e", "d", "p", "q", "dp", "dq", "qi"}) {
    json without = rsa;
    without.erase(name);
    EXPECT_THAT(PrivateKeyFromJwk(without.dump()), Refused(name));
  }
}

TEST(JwkPrivateTest, AnEcNumberHasTheFullLengthOfTheCurve) {  // RFC 7518 §6.2.2.1
  const std::string d = Get(Base64UrlDecode(json::parse(kEcOfRfc7517)["d"].get<std::string>()));
  for (const std::string& bad : {d.substr(1), '\0' + d, std::string()}) {
    EXPECT_THAT(PrivateKeyFromJwk(With("d", Base64UrlEncode(bad))), Refused("wrong length"));
  }
}

TEST(JwkPrivateTest, RefusesWhatIsWrittenTwiceOrIsNoString) {
  EXPECT_THAT(PrivateKeyFromJwk(With("d", 1)), Refused("read private JWK"));
  EXPECT_THAT(PrivateKeyFromJwk(With("d", "=")), Refused("not base64url"));
  const std::string once(kEcOfRfc7517);
  EXPECT_THAT(PrivateKeyFromJwk(once.substr(0, once.size() - 1) + R"(,"d":"AQ"})"), Refused("twice"));
  EXPECT_THAT(PrivateKeyFromJwk(once.substr(0, once.size() - 1) + R"(,"\u0064":"AQ"})"), Refused("twice"));
  EXPECT_THAT(PrivateKeyFromJwk(once.substr(0, once.size() - 2)), Refused("does not end"));
  EXPECT_THAT(PrivateKeyFromJwk(""), Refused("not JSON"));
  EXPECT_THAT(PrivateKeyFromJwk(std::string(20000, ' ')), Refused("at most"));
}

TEST(JwkPrivateTest, AnErrorNeverQuotesTheKey) {
  const std::string d = json::parse(kEcOfRfc7517)["d"].get<std::string>();
  for (const std::string& bad : {With("x", "AQ"), With("kty", "OKP"), With("d", d + "!"), With("d", d + "AA")}) {
    const auto key = PrivateKeyFromJwk(bad);
    ASSERT_FALSE(key.ok());
    EXPECT_THAT(std::string(Message(key.status())), ::testing::Not(::testing::HasSubstr(d.substr(0, 8))));
  }
}

TEST(JwkPrivateTest, RefusesKeysThatNoSvidMayHave) {
  const OpensslCli cli;
  cli.MakeKey("other", "EC -pkeyopt ec_paramgen_curve:P-521");
  const std::string text = "\n" + cli.Run("pkey -in other.key -noout -text");
  cli.Run("pkey -in other.key -pubout -out other.pub");
  nlohmann::ordered_json jwk;
  Get(JwkMembersOf(Get(PublicKey::FromPem(cli.Read("other.pub"))))).PutInto(jwk);
  std::string d;
  for (std::string hex = OpensslNumber(text, "priv"); hex.size() >= 2; hex.erase(0, 2)) {
    d += static_cast<char>(std::stoi(hex.substr(0, 2), nullptr, 16));
  }
  jwk["d"] =
      Base64UrlEncode(std::string(66 - std::min<std::size_t>(d.size(), 66), '\0') + d.substr(d.size() > 66 ? 1 : 0));
  EXPECT_THAT(PrivateKeyFromJwk(jwk.dump()), Refused("secp521r1"));
}

}  // namespace
}  // namespace lanyard::testing
