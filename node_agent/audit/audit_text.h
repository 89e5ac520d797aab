// Hostile bytes as a JSON string that stays on one line.
//
// Thread: any. Private to this room.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lanyard {

// Appends `value` in quotation marks (not counted) with at most `max_bytes` between them; what had to be cut ends in
// "…". Control characters (C0, DEL, C1) are escaped, bytes that are not UTF-8 (RFC 3629) become U+FFFD.
void PutJsonString(std::string_view value, size_t max_bytes, std::string& out);

}  // namespace lanyard
