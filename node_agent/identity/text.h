// How certificates and times are written for people.
//
// Thread: any.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "node_agent/base/utc.h"
#include "pki/certificate.h"

namespace lanyard {

// Lower case, two digits a byte.
inline std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// The certificate's subject key identifier in hex; empty if it has none.
inline std::string KeyIdHex(const Certificate& certificate) {
  return Hex(certificate.subject_key_id());
}

}  // namespace lanyard
