// Bytes as hexadecimal digits.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lanyard {

// Lower case, two digits a byte.
inline std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

// Whether `text` is `digits` hexadecimal digits, all lower case.
inline bool IsLowerHex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace lanyard
