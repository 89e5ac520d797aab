// Just enough DER (X.690 §10) to write what Lanyard writes by template.
//
// Thread: any. Private to this room.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lanyard::der {

inline constexpr unsigned char kBoolean = 0x01, kInteger = 0x02, kBitString = 0x03, kOctetString = 0x04,
                               kUtcTime = 0x17, kGeneralizedTime = 0x18, kSequence = 0x30;

inline void AppendHeader(std::string& out, unsigned char tag, std::size_t length) {
  out += static_cast<char>(tag);
  if (length < 0x80) {  // X.690 §8.1.3.4: short form
    out += static_cast<char>(length);
    return;
  }
  int bytes = 1;
  while (length >> (8 * bytes) != 0) ++bytes;
  out += static_cast<char>(0x80 | bytes);
  while (bytes-- > 0) out += static_cast<char>(length >> (8 * bytes) & 0xff);
}

inline void Append(std::string& out, unsigned char tag, std::string_view content) {
  AppendHeader(out, tag, content.size());
  out += content;
}

inline std::string Tlv(unsigned char tag, std::string_view content) {
  std::string out;
  Append(out, tag, content);
  return out;
}

}  // namespace lanyard::der
