// How certificates and times are written for people.
//
// Thread: any.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "node_agent/base/utc.h"
#include "pki/certificate.h"
#include "pki/hex.h"

namespace lanyard {

// The certificate's subject key identifier in hex; empty if it has none.
inline std::string KeyIdHex(const Certificate& certificate) {
  return Hex(certificate.subject_key_id());
}

}  // namespace lanyard
