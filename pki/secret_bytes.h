// Bytes that must not outlive their use: a private key as DER or PEM.
//
// The buffer never grows, so no forgotten copy is left behind by a reallocation, and it is overwritten when it is
// released. There is no operator<< and no formatter, and the only way to the bytes is called expose(), so that a
// reviewer can search for it.
//
// Thread: any, as for std::string.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace lanyard {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size);  // zero-filled
  static SecretBytes CopyOf(std::string_view bytes);

  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  // A second buffer with the same content, for a message that must own its bytes.
  SecretBytes Clone() const { return CopyOf(expose()); }

  std::string_view expose() const { return {bytes_.get(), size_}; }
  const char* data() const { return bytes_.get(); }
  char* mutable_data() { return bytes_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  void Wipe() noexcept;

  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
};

// Overwrites memory that held a secret; the compiler may not drop it.
void WipeMemory(void* bytes, std::size_t size);

}  // namespace lanyard
