// PEM (RFC 7468): blocks of base64 between labelled lines.
//
// Thread: any. Private to this room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

// The contents of the blocks with this label, in order; none is no error. Text between blocks and blocks of other kinds
// are skipped, a broken block of any kind is InvalidArgument, be it that only its last line shows that there was one.
Result<std::vector<std::string>> PemBlocks(std::string_view pem, std::string_view label);

std::string PemBlock(std::string_view label, std::string_view der);

}  // namespace lanyard
