#include "pki/secret_bytes.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

namespace lanyard {

SecretBytes::SecretBytes(std::size_t size) : bytes_(std::make_unique<char[]>(size)), size_(size) {}

SecretBytes SecretBytes::CopyOf(std::string_view bytes) {
  SecretBytes copy(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.bytes_.get());
  return copy;
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this == &other) return *this;
  Wipe();
  bytes_ = std::move(other.bytes_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

SecretBytes::~SecretBytes() {
  Wipe();
}

void SecretBytes::Wipe() noexcept {
  if (bytes_ != nullptr) WipeMemory(bytes_.get(), size_);
}

void WipeMemory(void* bytes, std::size_t size) {
  OPENSSL_cleanse(bytes, size);
}

}  // namespace lanyard
