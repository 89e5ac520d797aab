#include "pki/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace lanyard {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Without padding.
constexpr std::size_t EncodedSize(std::size_t bytes) {
  return (bytes * 8 + 5) / 6;
}

// Writes EncodedSize() characters: four for each three bytes, and two or three for the one or two that are left.
void Encode(std::string_view bytes, std::string_view alphabet, char* out) {
  while (!bytes.empty()) {
    const std::size_t taken = std::min<std::size_t>(bytes.size(), 3);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < taken ? static_cast<unsigned char>(bytes[i]) : 0U);
    for (std::size_t i = 0; i < EncodedSize(taken); ++i) *out++ = alphabet[group >> (18 - 6 * i) & 0x3f];
    bytes.remove_prefix(taken);
  }
}

std::string Encode(std::string_view bytes, std::string_view alphabet) {
  std::string text(EncodedSize(bytes.size()), '\0');
  Encode(bytes, alphabet, text.data());
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

// Calls `put` with each byte.
template <class Put>
Status Decode(std::string_view digits, const std::array<std::int8_t, 256>& values, Put put) {
  if (digits.size() % 4 == 1) return Error(StatusCode::kInvalidArgument, "base64 is cut off");
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
      put(static_cast<char>(pending >> bits & 0xff));
    }
  }
  // RFC 4648 §3.5: bits after the last whole byte are zero
  if ((pending & ((1U << bits) - 1)) != 0)
    return Error(StatusCode::kInvalidArgument, "base64 has stray bits at its end");
  return OkStatus();
}

Result<std::string> Decode(std::string_view digits, const std::array<std::int8_t, 256>& values) {
  std::string bytes;
  bytes.reserve(digits.size() / 4 * 3 + 2);
  RETURN_IF_ERROR(Decode(digits, values, [&bytes](char c) { bytes += c; }));
  return bytes;
}

constexpr auto kUrlValues = Inverse(kUrl);

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
  SecretBytes text(EncodedSize(bytes.size()));
  Encode(bytes.expose(), kUrl, text.mutable_data());
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
  return Decode(text, kUrlValues);
}

Result<SecretBytes> Base64UrlDecodeSecret(std::string_view text) {
  SecretBytes bytes(text.size() * 6 / 8);
  char* at = bytes.mutable_data();
  RETURN_IF_ERROR(Decode(text, kUrlValues, [&at](char c) { *at++ = c; }));
  return bytes;
}

}  // namespace lanyard
