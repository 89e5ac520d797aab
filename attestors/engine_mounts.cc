#include "attestors/engine_mounts.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

using FileId = std::pair<dev_t, ino_t>;

// No value when there is no such file.
Result<std::optional<FileId>> Identify(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return std::optional(FileId(info.st_dev, info.st_ino));
  if (errno == ENOENT || errno == ENOTDIR) return std::optional<FileId>();
  return Error(StatusCode::kUnavailable, "look at {}: {}", Printable(path), std::generic_category().message(errno));
}

// The socket and the directories above it, those that are there.
Status AddWayTo(const std::string& socket, std::vector<FileId>& way) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::weakly_canonical(socket, error);
  if (error) return Error(StatusCode::kUnavailable, "look for the socket {}: {}", socket, error.message());
  for (std::filesystem::path path = real;; path = path.parent_path()) {
    ASSIGN_OR_RETURN(const std::optional<FileId> file, Identify(path.string()));
    if (file) way.push_back(*file);
    if (path == path.root_path()) return OkStatus();
  }
}

}  // namespace

Status CheckMountsDoNotReach(std::span<const std::string> sockets, const std::vector<std::string>& mounted_host_paths) {
  if (mounted_host_paths.empty()) return OkStatus();
  for (const std::string& socket : sockets) {
    std::vector<FileId> way;
    RETURN_IF_ERROR(AddWayTo(socket, way));
    for (const std::string& mounted : mounted_host_paths) {
      ASSIGN_OR_RETURN(const std::optional<FileId> file, Identify(mounted));
      if (!file || std::find(way.begin(), way.end(), *file) == way.end()) continue;
      return Error(StatusCode::kPermissionDenied,
                   "{} of the node is mounted into it, and whoever reaches {} can make containers that look like any "
                   "other; run it without that mount",
                   Printable(mounted), socket);
    }
  }
  return OkStatus();
}

}  // namespace lanyard
