#include "node_agent/app/config_file.h"

#include "node_agent/base/file_trust.h"

namespace lanyard {

Result<Config> LoadConfigFile(const std::string& path) {
  // Nobody else can put another file in its place, either: the directories on the way are looked at as well.
  RETURN_IF_ERROR(CheckTrustedFile(path, FileSecrecy::kPublic));
  return LoadConfig(path);
}

}  // namespace lanyard
