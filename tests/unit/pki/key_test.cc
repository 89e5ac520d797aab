#include "pki/key.h"

#include <algorithm>

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

constexpr KeyType kAllTypes[] = {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096};

std::string Algorithm(KeyType type) {  // for openssl genpkey
  switch (type) {
    case KeyType::kEcP256:
      return "EC -pkeyopt ec_paramgen_curve:P-256";
    case KeyType::kEcP384:
      return "EC -pkeyopt ec_paramgen_curve:P-384";
    case KeyType::kRsa2048:
      return "RSA -pkeyopt rsa_keygen_bits:2048";
    case KeyType::kRsa4096:
      return "RSA -pkeyopt rsa_keygen_bits:4096";
  }
  return "";
}

TEST(KeyTest, NamesOfTypesRoundTrip) {
  for (const KeyType type : kAllTypes) EXPECT_EQ(Get(ParseKeyType(KeyTypeName(type))), type);
}

TEST(KeyTest, Ed25519IsRefusedWithTheReason) {
  EXPECT_THAT(ParseKeyType("ed25519"), Refused("BoringSSL"));
  const OpensslCli cli;
  cli.MakeKey("ed", "ED25519");
  EXPECT_THAT(PrivateKey::FromPem(cli.Read("ed.key")), Refused("ed25519 is not offered"));
}

TEST(KeyTest, UnknownNamesAreRefusedWithTheChoice) {
  for (const char* name : {"", "EC-P256", "rsa", "ec-p521"})
    EXPECT_THAT(ParseKeyType(name), Refused("use ec-p256")) << name;
}

TEST(KeyTest, ReadsKeysMadeByOpensslAndWritesTheSamePkcs8) {
  const OpensslCli cli;
  for (const KeyType type : kAllTypes) {
    cli.MakeKey("k", Algorithm(type));
    const PrivateKey key = ReadKey(cli, "k");
    EXPECT_EQ(key.type(), type);
    cli.Run("pkcs8 -topk8 -nocrypt -in k.key -outform DER -out k.p8");
    EXPECT_EQ(Get(key.ToPkcs8Der()).expose(), cli.Read("k.p8")) << KeyTypeName(type);
    EXPECT_EQ(Get(key.ToPem()).expose(), cli.Read("k.key")) << KeyTypeName(type);
    EXPECT_TRUE(Get(PrivateKey::FromPkcs8Der(cli.Read("k.p8"))).public_key().SameAs(key.public_key()));
    cli.Run("pkey -in k.key -pubout -outform DER -out k.spki");
    EXPECT_EQ(Get(key.public_key().ToSpkiDer()), cli.Read("k.spki"));
    EXPECT_TRUE(Get(PublicKey::FromSpkiDer(cli.Read("k.spki"))).SameAs(key.public_key()));
    EXPECT_EQ(Get(key.public_key().type()), type);
  }
}

TEST(KeyTest, KeysThatWeMakePassOpensslsCheck) {
  const OpensslCli cli;
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048}) {
    const PrivateKey key = Get(PrivateKey::Generate(type));
    EXPECT_EQ(key.type(), type);
    cli.Write("k.p8", Get(key.ToPkcs8Der()).expose());
    EXPECT_THAT(cli.Run("pkey -in k.p8 -inform DER -check -noout"), ::testing::HasSubstr("is valid"));
  }
}

TEST(KeyTest, P256Pkcs8OfManyKeysEqualsOpensslsEncoding) {
  // Scalars with leading zero bytes come up once in 256 keys
  const OpensslCli cli;
  for (int i = 0; i < 600; ++i) {
    const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
    const SecretBytes der = Get(key.ToPkcs8Der());
    ASSERT_EQ(der.size(), 138u);
    ASSERT_TRUE(Get(PrivateKey::FromPkcs8Der(der.expose())).public_key().SameAs(key.public_key()));
  }
}

TEST(KeyTest, ReadsTheOlderPemForms) {
  const OpensslCli cli;
  cli.MakeKey("ec");
  cli.Run("ec -in ec.key -out sec1.key");
  EXPECT_THAT(cli.Read("sec1.key"), ::testing::HasSubstr("BEGIN EC PRIVATE KEY"));
  EXPECT_TRUE(ReadKey(cli, "sec1").public_key().SameAs(ReadKey(cli, "ec").public_key()));
  cli.Run("ecparam -name prime256v1 -genkey -out params.key");  // an EC PARAMETERS block goes before the key
  EXPECT_EQ(ReadKey(cli, "params").type(), KeyType::kEcP256);
  cli.MakeKey("rsa", Algorithm(KeyType::kRsa2048));
  cli.Run("rsa -in rsa.key -traditional -out pkcs1.key");
  EXPECT_THAT(cli.Read("pkcs1.key"), ::testing::HasSubstr("BEGIN RSA PRIVATE KEY"));
  EXPECT_EQ(ReadKey(cli, "pkcs1").type(), KeyType::kRsa2048);
}

TEST(KeyTest, AKeyWithACompressedPointIsReadAndWrittenWhole) {
  const OpensslCli cli;
  cli.MakeKey("full");
  cli.Run("ec -in full.key -conv_form compressed -out compressed.key");
  const PrivateKey full = ReadKey(cli, "full"), compressed = ReadKey(cli, "compressed");
  EXPECT_TRUE(compressed.public_key().SameAs(full.public_key()));
  const SecretBytes der = Get(compressed.ToPkcs8Der());
  EXPECT_TRUE(Get(PrivateKey::FromPkcs8Der(der.expose())).public_key().SameAs(full.public_key()));
}

TEST(KeyTest, RefusesEncryptedKeysWithoutAskingForAPassphrase) {
  const OpensslCli cli;
  cli.MakeKey("k");
  cli.Run("pkcs8 -topk8 -in k.key -passout pass:x -out new.key");
  EXPECT_THAT(PrivateKey::FromPem(cli.Read("new.key")), Refused("encrypted"));
  cli.Run("ec -in k.key -aes128 -passout pass:x -out old.key");
  EXPECT_FALSE(PrivateKey::FromPem(cli.Read("old.key")).ok());
}

TEST(KeyTest, RefusesOtherCurvesAndSizes) {
  const OpensslCli cli;
  cli.MakeKey("p521", "EC -pkeyopt ec_paramgen_curve:P-521");
  EXPECT_THAT(PrivateKey::FromPem(cli.Read("p521.key")), Refused("P-256 or P-384"));
  cli.MakeKey("short", "RSA -pkeyopt rsa_keygen_bits:1024");
  EXPECT_THAT(PrivateKey::FromPem(cli.Read("short.key")), Refused("1024 bits"));
}

TEST(KeyTest, RefusesNoneAndTwoAndGarbage) {
  const OpensslCli cli;
  cli.MakeKey("a");
  cli.MakeKey("b");
  EXPECT_THAT(PrivateKey::FromPem(""), Refused("found 0"));
  EXPECT_THAT(PrivateKey::FromPem("-----BEGIN CERTIFICATE-----\n"), Refused("found 0"));
  EXPECT_THAT(PrivateKey::FromPem(cli.Read("a.key") + cli.Read("b.key")), Refused("found 2"));
  EXPECT_FALSE(PrivateKey::FromPem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").ok());
  EXPECT_FALSE(PrivateKey::FromPem(cli.Read("a.key").substr(0, 80)).ok());
  EXPECT_FALSE(PrivateKey::FromPkcs8Der("").ok());
  const std::string der(Get(ReadKey(cli, "a").ToPkcs8Der()).expose());
  EXPECT_THAT(PrivateKey::FromPkcs8Der(der + "x"), Refused("1 bytes follow"));
  EXPECT_FALSE(PrivateKey::FromPkcs8Der(der.substr(0, 100)).ok());
}

TEST(KeyTest, RefusesAPublicHalfThatIsAnotherKeys) {
  const std::string a(Get(Get(PrivateKey::Generate(KeyType::kEcP256)).ToPkcs8Der()).expose());
  const std::string b(Get(Get(PrivateKey::Generate(KeyType::kEcP256)).ToPkcs8Der()).expose());
  EXPECT_THAT(PrivateKey::FromPkcs8Der(a.substr(0, 73) + b.substr(73)), Refused("does not fit its public key"));
}

}  // namespace
}  // namespace lanyard::testing
