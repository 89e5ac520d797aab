// Sizes of files, as the configuration writes them.
//
// Thread: any.
#pragma once

#include <cstdint>

#include "node_agent/base/status.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// "64MiB": a whole number of KiB, MiB or GiB; at least 64KiB. Otherwise InvalidArgument with the position.
Result<uint64_t> ReadSize(const YamlNode& node);

}  // namespace lanyard
