// Base64 and base64url (RFC 4648 §4 and §5), strict: one spelling for each byte string.
//
// Thread: any. Strings are not wiped: a secret goes through SecretBytes.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/secret_bytes.h"

namespace lanyard {

std::string Base64Encode(std::string_view bytes);     // with padding
std::string Base64UrlEncode(std::string_view bytes);  // without padding, as JOSE wants it (RFC 7515 §2)
SecretBytes Base64UrlEncodeSecret(const SecretBytes& bytes);

// No white space, padding where the form has it and nowhere else, and unused bits zero; otherwise InvalidArgument.
Result<std::string> Base64Decode(std::string_view text);
Result<std::string> Base64UrlDecode(std::string_view text);
Result<SecretBytes> Base64UrlDecodeSecret(std::string_view text);

}  // namespace lanyard
