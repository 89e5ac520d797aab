#include "pki/digest.h"

#include <openssl/evp.h>

#include "pki/hex.h"
#include "pki/openssl_ptr.h"

namespace lanyard {

struct Sha256::State {
  MdCtxPtr context{EVP_MD_CTX_new()};
  bool good = false;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  state_->good = state_->context && EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1;
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  state_->good = state_->good && EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1;
}

Result<std::string> Sha256::FinishHex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (!state_->good || EVP_DigestFinal_ex(state_->context.get(), digest, &length) != 1)
    return OpenSslError("compute SHA-256");
  state_->good = false;
  return Hex({reinterpret_cast<const char*>(digest), length});
}

}  // namespace lanyard
