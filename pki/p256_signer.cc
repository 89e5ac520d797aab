#include "pki/p256_signer.h"

#include <mutex>
#include <utility>
#include <vector>

#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

constexpr std::size_t kDigestBytes = 32, kMaxSignatureBytes = 72;  // two integers of 33 bytes at most, in a sequence

}  // namespace

struct P256Signer::Kept {
  Kept(const PrivateKey& with, Owned<EVP_MD, EVP_MD_free> digest) : key(with), sha256(std::move(digest)) {}

  Result<PkeyCtxPtr> Take() {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        PkeyCtxPtr context = std::move(idle.back());
        idle.pop_back();
        return context;
      }
    }
    PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.native(), nullptr));
    if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1) return OpenSslError("prepare signing");
    return context;
  }

  void GiveBack(PkeyCtxPtr context) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(context));
  }

  const PrivateKey key;
  const Owned<EVP_MD, EVP_MD_free> sha256;
  std::mutex mutex;  // guards idle, nothing else
  std::vector<PkeyCtxPtr> idle;
};

Result<std::shared_ptr<P256Signer>> P256Signer::For(const PrivateKey& key) {
  if (key.type() != KeyType::kEcP256) {
    return Error(StatusCode::kInvalidArgument, "{} key where a P-256 key is needed", KeyTypeName(key.type()));
  }
  Owned<EVP_MD, EVP_MD_free> sha256(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  if (sha256 == nullptr) return OpenSslError("fetch SHA-256");
  return std::shared_ptr<P256Signer>(new P256Signer(std::make_unique<Kept>(key, std::move(sha256))));
}

P256Signer::P256Signer(std::unique_ptr<Kept> kept) : kept_(std::move(kept)) {}
P256Signer::~P256Signer() = default;

Result<std::string> P256Signer::Sign(std::string_view message) {
  unsigned char digest[kDigestBytes];
  if (EVP_Digest(message.data(), message.size(), digest, nullptr, kept_->sha256.get(), nullptr) != 1) {
    return OpenSslError("hash what is to be signed");
  }
  ASSIGN_OR_RETURN(PkeyCtxPtr context, kept_->Take());
  std::string signature(kMaxSignatureBytes, '\0');
  std::size_t length = signature.size();
  if (EVP_PKEY_sign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, digest,
                    sizeof digest) != 1) {
    return OpenSslError("sign");
  }
  kept_->GiveBack(std::move(context));
  signature.resize(length);
  return signature;
}

}  // namespace lanyard
