#include "pki/jws_signature.h"

#include "tests/unit/pki/token_testing.h"

namespace lanyard::testing {
namespace {

constexpr std::string_view kInput = "eyJhbGciOiJFUzI1NiJ9.e30";
constexpr std::string_view kInvalid = "not valid";

const KeyType kKeyTypes[] = {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096};

struct OfOpenssl {
  JwsAlgorithm algorithm;
  const char* key;      // for genpkey
  const char* options;  // for dgst
  std::size_t number;   // bytes of each of the two numbers; 0 for RSA
};
const OfOpenssl kOfOpenssl[] = {{JwsAlgorithm::kRs256, "RSA -pkeyopt rsa_keygen_bits:2048", "-sha256", 0},
                                {JwsAlgorithm::kRs384, "RSA -pkeyopt rsa_keygen_bits:2048", "-sha384", 0},
                                {JwsAlgorithm::kRs512, "RSA -pkeyopt rsa_keygen_bits:3072", "-sha512", 0},
                                {JwsAlgorithm::kEs256, "EC -pkeyopt ec_paramgen_curve:P-256", "-sha256", 32},
                                {JwsAlgorithm::kEs384, "EC -pkeyopt ec_paramgen_curve:P-384", "-sha384", 48},
                                {JwsAlgorithm::kEs512, "EC -pkeyopt ec_paramgen_curve:P-521", "-sha512", 66},
                                {JwsAlgorithm::kPs256, "RSA -pkeyopt rsa_keygen_bits:2048",
                                 "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest", 0},
                                {JwsAlgorithm::kPs384, "RSA -pkeyopt rsa_keygen_bits:2048",
                                 "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest", 0},
                                {JwsAlgorithm::kPs512, "RSA -pkeyopt rsa_keygen_bits:2048",
                                 "-sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest", 0}};

// A signature by the openssl program, in the form of RFC 7518.
std::string SignByOpenssl(const OpensslCli& cli, const OfOpenssl& how) {
  cli.Write("input", kInput);
  cli.Run(std::string("dgst ") + how.options + " -sign other.key -out signature input");
  return how.number > 0 ? ReadDerSignature(cli, "signature", how.number) : cli.Read("signature");
}

PublicKey OtherKey(const OpensslCli& cli) {
  cli.Run("pkey -in other.key -pubout -out other.pub");
  return Get(PublicKey::FromPem(cli.Read("other.pub")));
}

TEST(JwsSignatureTest, OpensslAcceptsWhatWeSignWithEveryKeyType) {
  for (const KeyType type : kKeyTypes) {
    const OpensslCli cli;
    const PrivateKey key = Get(PrivateKey::Generate(type));
    const std::string signature = Get(Get(JwsSigner::For(key)).Sign(kInput));
    cli.Write("key.pub", Get(key.public_key().ToPem()));
    cli.Write("input", kInput);
    const bool ec = type == KeyType::kEcP256 || type == KeyType::kEcP384;
    if (ec) {
      EXPECT_EQ(signature.size(), type == KeyType::kEcP256 ? 64u : 96u);
      WriteDerSignature(cli, "signature", signature);
    } else {
      cli.Write("signature", signature);
    }
    const std::string digest = type == KeyType::kEcP384 ? "-sha384" : "-sha256";
    EXPECT_EQ(cli.Run("dgst " + digest + " -verify key.pub -signature signature input"), "Verified OK\n");
    EXPECT_TRUE(VerifyJws(JwsAlgorithmFor(type), key.public_key(), kInput, signature).ok());
  }
}

TEST(JwsSignatureTest, AcceptsWhatOpensslSignsWithEveryAlgorithm) {
  for (const OfOpenssl& how : kOfOpenssl) {
    const OpensslCli cli;
    cli.MakeKey("other", how.key);
    const std::string signature = SignByOpenssl(cli, how);
    const PublicKey key = OtherKey(cli);
    EXPECT_TRUE(VerifyJws(how.algorithm, key, kInput, signature).ok()) << JwsAlgorithmName(how.algorithm);
    EXPECT_THAT(VerifyJws(how.algorithm, key, "another", signature), FailsWith(StatusCode::kUnauthenticated, kInvalid));
  }
}

TEST(JwsSignatureTest, OneAlgorithmsSignatureIsNotAnothers) {
  const OpensslCli cli;
  cli.MakeKey("other", kOfOpenssl[0].key);
  const PublicKey key = OtherKey(cli);
  const std::string signature = SignByOpenssl(cli, kOfOpenssl[0]);
  for (const JwsAlgorithm other : {JwsAlgorithm::kRs384, JwsAlgorithm::kRs512, JwsAlgorithm::kPs256}) {
    EXPECT_THAT(VerifyJws(other, key, kInput, signature), FailsWith(StatusCode::kUnauthenticated, kInvalid));
  }
}

TEST(JwsSignatureTest, APssSaltOfAnotherLengthIsRefused) {  // RFC 7518 §3.5
  const OpensslCli cli;
  cli.MakeKey("other", "RSA -pkeyopt rsa_keygen_bits:2048");
  for (const char* length : {"0", "20", "max"}) {
    const std::string options = std::string("-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:") + length;
    const std::string signature = SignByOpenssl(cli, {JwsAlgorithm::kPs256, "", options.c_str(), 0});
    EXPECT_THAT(VerifyJws(JwsAlgorithm::kPs256, OtherKey(cli), kInput, signature),
                FailsWith(StatusCode::kUnauthenticated, kInvalid))
        << length;
  }
}

TEST(JwsSignatureTest, EveryFlippedBitAndEveryOtherLengthIsRefused) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const std::string good = Get(Get(JwsSigner::For(key)).Sign(kInput));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(VerifyJws(JwsAlgorithm::kEs256, key.public_key(), kInput, bad).ok()) << bit;
  }
  for (const std::string& bad :
       {std::string(), good.substr(1), good + '\0', '\0' + good, good.substr(0, 63), good + good}) {
    EXPECT_THAT(VerifyJws(JwsAlgorithm::kEs256, key.public_key(), kInput, bad),
                FailsWith(StatusCode::kUnauthenticated, "bytes"));
  }
}

// CVE-2022-21449: zeros were a valid signature of anything by anybody.
TEST(JwsSignatureTest, ZerosAndTheOrderItselfAreNoSignature) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const std::string zero(32, '\0'), one = std::string(31, '\0') + '\1', all(32, '\xff');
  // SEC 2 §2.4.2, the order n
  const std::string order(
      "\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63"
      "\x25\x51",
      32);
  for (const std::string& r : {zero, one, order, all}) {
    for (const std::string& s : {zero, one, order, all}) {
      EXPECT_FALSE(VerifyJws(JwsAlgorithm::kEs256, key.public_key(), kInput, r + s).ok());
    }
  }
}

TEST(JwsSignatureTest, ADerSignatureIsNotOne) {
  const OpensslCli cli;
  cli.MakeKey("other");
  cli.Write("input", kInput);
  cli.Run("dgst -sha256 -sign other.key -out signature input");
  EXPECT_THAT(VerifyJws(JwsAlgorithm::kEs256, OtherKey(cli), kInput, cli.Read("signature")),
              FailsWith(StatusCode::kUnauthenticated, "bytes"));
}

TEST(JwsSignatureTest, AKeyIsUsedForNothingButItsOwnAlgorithms) {
  const PrivateKey p256 = Get(PrivateKey::Generate(KeyType::kEcP256));
  const PrivateKey p384 = Get(PrivateKey::Generate(KeyType::kEcP384));
  const PrivateKey rsa = Get(PrivateKey::Generate(KeyType::kRsa2048));
  EXPECT_EQ(Get(JwsSigner::For(p256)).algorithm(), JwsAlgorithm::kEs256);
  EXPECT_EQ(Get(JwsSigner::For(p384)).algorithm(), JwsAlgorithm::kEs384);
  EXPECT_EQ(Get(JwsSigner::For(rsa)).algorithm(), JwsAlgorithm::kRs256);
  EXPECT_THAT(VerifyJws(JwsAlgorithm::kEs256, p384.public_key(), kInput, ""), Refused("not made with"));
  EXPECT_THAT(VerifyJws(JwsAlgorithm::kEs384, p256.public_key(), kInput, ""), Refused("not made with"));
  EXPECT_THAT(VerifyJws(JwsAlgorithm::kEs512, rsa.public_key(), kInput, ""), Refused("not made with"));
  EXPECT_THAT(VerifyJws(JwsAlgorithm::kPs256, p256.public_key(), kInput, ""), Refused("not made with"));
}

TEST(JwsSignatureTest, KeysThatAreTooWeakOrOfOtherKindsVerifyNothing) {
  for (const char* algorithm : {"RSA -pkeyopt rsa_keygen_bits:1024", "ED25519",
                                "EC -pkeyopt ec_paramgen_curve:secp256k1", "RSA-PSS -pkeyopt rsa_keygen_bits:2048"}) {
    const OpensslCli cli;
    cli.MakeKey("other", algorithm);
    for (const JwsAlgorithm name : {JwsAlgorithm::kRs256, JwsAlgorithm::kPs256, JwsAlgorithm::kEs256}) {
      EXPECT_THAT(VerifyJws(name, OtherKey(cli), kInput, std::string(64, 'x')), Refused("key")) << algorithm;
    }
  }
}

TEST(JwsAlgorithmTest, ThereAreNineNamesAndNoOthers) {  // JWT-SVID §2.1
  for (const char* name : {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}) {
    EXPECT_EQ(JwsAlgorithmName(Get(ParseJwsAlgorithm(name))), name);
  }
  for (const char* name : {"none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "EdDSA", "ES256K", "es256",
                           "RS1", "RSA-OAEP", "dir", " ES256", "ES256 "}) {
    EXPECT_THAT(ParseJwsAlgorithm(name), Refused("\"alg\" is none of")) << name;
  }
}

}  // namespace
}  // namespace lanyard::testing
