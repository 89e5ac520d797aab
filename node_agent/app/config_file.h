// The configuration that an agent runs by: believed only when nobody but root and we ourselves could have written it.
//
// LoadConfig (config.h) reads any file, for commands that only look at one.
//
// Thread: any; blocks on the disk.
#pragma once

#include <string>

#include "node_agent/app/config.h"
#include "node_agent/base/status.h"

namespace lanyard {

// Errors: those of file_trust.h, and those of LoadConfig.
Result<Config> LoadConfigFile(const std::string& path);

}  // namespace lanyard
