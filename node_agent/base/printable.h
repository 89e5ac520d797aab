// Text that came from elsewhere, made fit to be shown.
//
// Thread: any.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace lanyard {

// `text` with control bytes as \xNN: nothing that we print moves the cursor or forges a line.
inline std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      printable += fmt::format("\\x{:02x}", byte);
    } else {
      printable += c;
    }
  }
  return printable;
}

}  // namespace lanyard
