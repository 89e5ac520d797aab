// What settings must agree on with each other and with the machine. A part of config.cc, apart for its length.
//
// Thread: any; blocks on the disk.
#pragma once

#include <span>
#include <string>

#include "node_agent/app/config.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// An absolute path without "..", zero bytes or a slash at its end.
Result<std::string> CheckAbsolutePath(const YamlNode& node);
// One that also fits into a socket address.
Result<std::string> CheckSocketPath(const YamlNode& node);

// Adds an error for each pair of settings that do not fit; `root` gives the positions. `unread` are the positions of
// values that had errors of their own; nothing is said about those.
void CheckAgreement(const Config& config, const YamlNode& root, std::span<const SourcePosition> unread,
                    YamlErrors& errors);

}  // namespace lanyard
