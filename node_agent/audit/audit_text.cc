#include "node_agent/audit/audit_text.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

namespace lanyard {
namespace {

constexpr std::string_view kCut = "\u2026";
constexpr std::string_view kReplacement = "\uFFFD";

// The length of the UTF-8 character that `text` begins with, and the character; 0 when it is none. RFC 3629 §4: no
// overlong form, no surrogate, nothing above U+10FFFF.
size_t ReadCharacter(std::string_view text, uint32_t& character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    character = first;
    return 1;
  }
  const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                        : first >= 0xE0 && first <= 0xEF ? 3
                        : first >= 0xF0 && first <= 0xF4 ? 4
                                                         : 0;
  if (length == 0 || text.size() < length) return 0;
  character = first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3Fu);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (character < kLeast[length] || character > 0x10FFFF || (character >= 0xD800 && character <= 0xDFFF)) return 0;
  return length;
}

}  // namespace

void PutJsonString(std::string_view value, size_t max_bytes, std::string& out) {
  out += '"';
  const size_t begin = out.size();
  size_t room_for_cut = begin;  // where the value is cut, should it become too long
  while (!value.empty()) {
    if (out.size() - begin + kCut.size() <= max_bytes) room_for_cut = out.size();
    uint32_t character = 0;
    const size_t length = ReadCharacter(value, character);
    if (length == 0) {
      out += kReplacement;
    } else if (character == '"' || character == '\\') {
      out += '\\';
      out += static_cast<char>(character);
    } else if (character < 0x20 || (character >= 0x7F && character <= 0x9F)) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", character);
    } else {
      out += value.substr(0, length);
    }
    if (out.size() - begin > max_bytes) {
      out.resize(room_for_cut);
      out += kCut;
      break;
    }
    value.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

}  // namespace lanyard
