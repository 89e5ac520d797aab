// UTF-8 (RFC 3629) in bytes that came from elsewhere.
//
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lanyard {

// The length of the character that `text`, which is not empty, begins with, and the character; 0 when it is none.
size_t ReadUtf8(std::string_view text, uint32_t& character);

// `text` with U+FFFD for each byte that belongs to no character.
std::string ToUtf8(std::string_view text);

}  // namespace lanyard
