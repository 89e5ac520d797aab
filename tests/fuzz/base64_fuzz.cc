// Base64 and base64url: every byte string comes back from its encoding, every text that is accepted is the one encoding
// of its bytes, and where we read something OpenSSL reads the same.
#include <openssl/evp.h>

#include "pki/base64.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

void CheckBytes(std::string_view bytes) {
  const auto standard = Base64Decode(Base64Encode(bytes)), url = Base64UrlDecode(Base64UrlEncode(bytes));
  Require(standard.ok() && *standard == bytes && url.ok() && *url == bytes);
}

void CheckText(std::string_view text) {
  if (const auto url = Base64UrlDecode(text); url.ok()) {
    Require(Base64UrlEncode(*url) == text);
  } else {
    RequireTold(url.status(), StatusCode::kInvalidArgument);
  }
  const auto bytes = Base64Decode(text);
  if (!bytes.ok()) return RequireTold(bytes.status(), StatusCode::kInvalidArgument);
  Require(Base64Encode(*bytes) == text);
  std::string theirs(text.size(), '\0');
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(theirs.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  Require(length >= 0 && static_cast<size_t>(length) >= bytes->size());  // it counts the padding, too
  Require(std::string_view(theirs).substr(0, bytes->size()) == *bytes);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckBytes(lanyard::AsText(data, size));
  lanyard::CheckText(lanyard::AsText(data, size));
  return 0;
}
