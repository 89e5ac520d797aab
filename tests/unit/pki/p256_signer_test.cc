#include "pki/p256_signer.h"

#include <atomic>
#include <thread>
#include <vector>

#include "pki/signature.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

constexpr std::string_view kMessage = "what was said";

TEST(P256SignerTest, OpensslAcceptsEverySignatureOfOneSigner) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const auto signer = Get(P256Signer::For(key));
  const OpensslCli cli;
  cli.Write("key.pub", Get(key.public_key().ToPem()));
  for (const std::string& message : {std::string(kMessage), std::string(), std::string(100'000, 'x')}) {
    cli.Write("message", message);
    cli.Write("signature", Get(signer->Sign(message)));
    EXPECT_EQ(cli.Run("dgst -sha256 -verify key.pub -signature signature message"), "Verified OK\n");
  }
}

TEST(P256SignerTest, ManyThreadsSignAtOnceWithOneSigner) {
  const PrivateKey key = Get(PrivateKey::Generate(KeyType::kEcP256));
  const auto signer = Get(P256Signer::For(key));
  std::atomic<int> valid = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&signer, &key, &valid, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string message = fmt::format("{} of {}", i, t);
        const Result<std::string> signature = signer->Sign(message);
        if (signature.ok() && VerifyEcdsaSha256(key.public_key(), message, *signature).ok()) ++valid;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(valid, 200);
}

TEST(P256SignerTest, SignsWithAKeyWhoseLastHandleIsGone) {
  auto key = std::make_unique<PrivateKey>(Get(PrivateKey::Generate(KeyType::kEcP256)));
  const PublicKey publik = Get(PublicKey::FromSpkiDer(Get(key->public_key().ToSpkiDer())));
  const auto signer = Get(P256Signer::For(*key));
  key.reset();
  EXPECT_TRUE(VerifyEcdsaSha256(publik, kMessage, Get(signer->Sign(kMessage))).ok());
}

TEST(P256SignerTest, RefusesKeysOfOtherKinds) {
  EXPECT_THAT(P256Signer::For(Get(PrivateKey::Generate(KeyType::kEcP384))), Refused("ec-p384 key"));
}

}  // namespace
}  // namespace lanyard::testing
