// Text that came from elsewhere, made fit to be shown.
//
// Thread: any.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace lanyard {

// `text` with the bytes of control characters (C0, DEL, and C1 in UTF-8) as \xNN: nothing that we print moves the
// cursor or forges a line.
inline std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  bool in_c1 = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool ends_c1 = std::exchange(
        in_c1, byte == 0xc2 && i + 1 < text.size() && (static_cast<unsigned char>(text[i + 1]) & 0xe0) == 0x80);
    if (byte < 0x20 || byte == 0x7f || in_c1 || ends_c1) {
      printable += fmt::format("\\x{:02x}", byte);
    } else {
      printable += text[i];
    }
  }
  return printable;
}

// At most the first `max_bytes` of `text`, which is UTF-8 or nearly so; no character of it is cut in two.
inline std::string_view Beginning(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  const auto cuts = [text](size_t end) { return (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; };
  size_t end = max_bytes;
  while (end > 0 && max_bytes - end < 3 && cuts(end)) --end;
  return text.substr(0, end);
}

}  // namespace lanyard
