#include "node_agent/app/config_file.h"

#include "node_agent/base/file_trust.h"

namespace lanyard {

Result<Config> LoadConfigFile(const std::string& path) {
  // Nobody else can put another file in its place, either: the directories on the way are looked at as well.
  ASSIGN_OR_RETURN(const std::string text, ReadTrustedFile(path, kMaxConfigBytes, FileSecrecy::kPublic));
  return ParseConfig(text, path, EnvironmentVariables());
}

}  // namespace lanyard
