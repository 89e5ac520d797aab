// How certificates and times are written for people.
//
// Thread: any.
#pragma once

#include <fmt/chrono.h>

#include <string>
#include <string_view>

#include "node_agent/base/clock.h"
#include "pki/certificate.h"

namespace lanyard {

// RFC 3339, whole seconds, e.g. "2026-01-01T00:00:00Z".
inline std::string Utc(WallTime when) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(when)));
}

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
