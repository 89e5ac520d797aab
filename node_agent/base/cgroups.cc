#include "node_agent/base/cgroups.h"

#include "node_agent/base/file.h"

namespace lanyard {

Result<std::vector<CgroupMembership>> ReadCgroups(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxCgroupText));
  return ParseCgroups(text);
}

bool IsCgroupWithin(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace lanyard
