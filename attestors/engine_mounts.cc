#include "attestors/engine_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <system_error>
#include <tuple>

#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

using FileId = std::tuple<uint32_t, uint32_t, uint64_t>;  // major and minor number of the device, and inode

// No value when there is no such file. A server that is away is not asked for what the kernel knows.
Result<std::optional<FileId>> Identify(const std::string& path) {
  struct statx info {};
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<FileId>();
    return Error(StatusCode::kUnavailable, "look at {}: {}", Printable(path), std::generic_category().message(errno));
  }
  if ((info.stx_mask & STATX_INO) == 0)
    return Error(StatusCode::kUnavailable, "look at {}: its file system does not tell which file it is",
                 Printable(path));
  return std::optional(FileId(info.stx_dev_major, info.stx_dev_minor, info.stx_ino));
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
