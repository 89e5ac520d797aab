#include "node_agent/audit/audit_text.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

#include "node_agent/base/utf8.h"

namespace lanyard {
namespace {

constexpr std::string_view kCut = "\u2026";
constexpr std::string_view kReplacement = "\uFFFD";

}  // namespace

void PutJsonString(std::string_view value, size_t max_bytes, std::string& out) {
  out += '"';
  const size_t begin = out.size();
  size_t room_for_cut = begin;  // where the value is cut, should it become too long
  while (!value.empty()) {
    if (out.size() - begin + kCut.size() <= max_bytes) room_for_cut = out.size();
    uint32_t character = 0;
    const size_t length = ReadUtf8(value, character);
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
