#include "pki/base64.h"

#include <array>
#include <cstdint>

namespace lanyard {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Calls `put` with each character.
template <class Put>
void Encode(std::string_view bytes, std::string_view alphabet, Put put) {
  std::uint32_t pending = 0;
  int bits = 0;
  for (const char c : bytes) {
    pending = (pending << 8 | static_cast<unsigned char>(c)) & 0xffff;
    for (bits += 8; bits >= 6;) {
      bits -= 6;
      put(alphabet[pending >> bits & 0x3f]);
    }
  }
  if (bits > 0) put(alphabet[pending << (6 - bits) & 0x3f]);
}

std::string Encode(std::string_view bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  Encode(bytes, alphabet, [&text](char c) { text += c; });
  return text;
}

constexpr std::array<std::int8_t, 256> Inverse(std::string_view alphabet) {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}

Result<std::string> Decode(std::string_view digits, const std::array<std::int8_t, 256>& values) {
  if (digits.size() % 4 == 1) return Error(StatusCode::kInvalidArgument, "base64 is cut off");
  std::string bytes;
  bytes.reserve(digits.size() / 4 * 3 + 2);
  std::uint32_t pending = 0;
  int bits = 0;
  for (const char c : digits) {
    const int value = values[static_cast<unsigned char>(c)];
    if (value < 0) {
      return Error(StatusCode::kInvalidArgument, "byte 0x{:02x} is not base64", static_cast<unsigned char>(c));
    }
    pending = (pending << 6 | static_cast<std::uint32_t>(value)) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += static_cast<char>(pending >> bits & 0xff);
    }
  }
  // RFC 4648 §3.5: bits after the last whole byte are zero
  if ((pending & ((1U << bits) - 1)) != 0)
    return Error(StatusCode::kInvalidArgument, "base64 has stray bits at its end");
  return bytes;
}

}  // namespace

std::string Base64Encode(std::string_view bytes) {
  std::string text = Encode(bytes, kStandard);
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

std::string Base64UrlEncode(std::string_view bytes) {
  return Encode(bytes, kUrl);
}

SecretBytes Base64UrlEncodeSecret(const SecretBytes& bytes) {
  SecretBytes text((bytes.size() * 8 + 5) / 6);
  char* at = text.mutable_data();
  Encode(bytes.expose(), kUrl, [&at](char c) { *at++ = c; });
  return text;
}

Result<std::string> Base64Decode(std::string_view text) {
  static constexpr auto kValues = Inverse(kStandard);
  if (text.size() % 4 != 0)
    return Error(StatusCode::kInvalidArgument, "base64 has {} bytes, not a multiple of 4", text.size());
  for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  return Decode(text, kValues);
}

Result<std::string> Base64UrlDecode(std::string_view text) {
  static constexpr auto kValues = Inverse(kUrl);
  return Decode(text, kValues);
}

}  // namespace lanyard
