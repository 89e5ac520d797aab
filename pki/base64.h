// Base64 and base64url (RFC 4648 §4 and §5), strict: one spelling for each byte string.
//
// Thread: any. Not for secrets: the strings are not wiped.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

std::string Base64Encode(std::string_view bytes);     // with padding
std::string Base64UrlEncode(std::string_view bytes);  // without padding, as JOSE wants it (RFC 7515 §2)

// No white space, padding where the form has it and nowhere else, and unused bits zero; otherwise InvalidArgument.
Result<std::string> Base64Decode(std::string_view text);
Result<std::string> Base64UrlDecode(std::string_view text);

}  // namespace lanyard
