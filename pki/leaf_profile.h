// What every leaf says alike, whichever way it is written.
//
// Private to this room.
#pragma once

#include <cstdint>
#include <string_view>

#include "pki/certificate.h"

namespace lanyard {

inline constexpr std::string_view kLeafOrganization = "Lanyard";  // subject: O=Lanyard; the identity is in the URI SAN
// X509-SVID §4.3: digitalSignature is all that TLS with ephemeral keys needs
inline constexpr std::uint32_t kLeafKeyUsage = kKeyUsageDigitalSignature;
inline constexpr std::size_t kSerialBytes = 16;  // RFC 5280 §4.1.2.2: positive, at most 20 bytes

}  // namespace lanyard
