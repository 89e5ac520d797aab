#include "pki/signature.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

constexpr std::string_view kMessage = "lanyard audit checkpoint v1\n41\nabc\n";

TEST(SignatureTest, OpensslAcceptsWhatWeSign) {
  const OpensslCli cli;
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  cli.Write("key.pub", Get(key.public_key().ToPem()));
  cli.Write("message", kMessage);
  cli.Write("signature", Get(SignEcdsaSha256(key, kMessage)));
  EXPECT_EQ(cli.Run("dgst -sha256 -verify key.pub -signature signature message"), "Verified OK\n");
}

TEST(SignatureTest, AcceptsWhatOpensslSigns) {
  const OpensslCli cli;
  cli.MakeKey("other");
  cli.Run("pkey -in other.key -pubout -out other.pub");
  cli.Write("message", kMessage);
  cli.Run("dgst -sha256 -sign other.key -out signature message");
  const PublicKey key = Get(PublicKey::FromPem(cli.Read("other.pub")));
  EXPECT_TRUE(VerifyEcdsaSha256(key, kMessage, cli.Read("signature")).ok());
}

TEST(SignatureTest, RefusesAnotherMessageAnotherKeyAndWhatIsNoSignature) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const PrivateKey other = Get(PrivateKey::Generate(KeyType::kEcP256));
  const std::string signature = Get(SignEcdsaSha256(key, kMessage));
  const PublicKey publik = key.public_key();
  EXPECT_TRUE(VerifyEcdsaSha256(publik, kMessage, signature).ok());
  EXPECT_THAT(VerifyEcdsaSha256(publik, "another", signature), FailsWith(StatusCode::kUnauthenticated, "not valid"));
  EXPECT_THAT(VerifyEcdsaSha256(other.public_key(), kMessage, signature),
              FailsWith(StatusCode::kUnauthenticated, "not valid"));
  for (const std::string& junk : {std::string(), std::string("junk"), signature + "x", signature.substr(1)}) {
    EXPECT_THAT(VerifyEcdsaSha256(publik, kMessage, junk), FailsWith(StatusCode::kUnauthenticated, "not valid"));
  }
}

TEST(SignatureTest, RefusesKeysOfOtherKinds) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP384));
  EXPECT_THAT(SignEcdsaSha256(key, kMessage), Refused("ec-p384 key"));
  EXPECT_THAT(VerifyEcdsaSha256(key.public_key(), kMessage, "x"), Refused("ec-p384 key"));
}

TEST(SignatureTest, APublicKeySurvivesTheWayThroughPem) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const std::string pem = Get(key.public_key().ToPem());
  EXPECT_TRUE(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
  EXPECT_TRUE(Get(PublicKey::FromPem(pem)).SameAs(key.public_key()));
  EXPECT_THAT(PublicKey::FromPem("junk"), Refused("read public key"));
  EXPECT_THAT(PublicKey::FromPem(pem.substr(0, pem.size() / 2)), Refused("read public key"));
}

}  // namespace
}  // namespace lanyard::testing
