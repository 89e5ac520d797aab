// The section `limits` of the configuration. A part of config.cc, apart for its length.
//
// Thread: any.
#pragma once

#include "node_agent/app/config.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// Goes on after errors, which it gathers; where a key is absent or wrong `limits` keeps what it has.
void ReadLimits(const YamlNode& node, LimitsConfig& limits, YamlErrors& errors);

}  // namespace lanyard
