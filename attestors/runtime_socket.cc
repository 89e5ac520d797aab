#include "attestors/runtime_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "node_agent/base/printable.h"
#include "node_agent/base/trusted_socket.h"

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

const char* WhatToDo(int error) {
  switch (error) {
    case ECONNREFUSED:
      return "; the runtime is not running";
    case EAGAIN:
      return "; its queue is full: the runtime is overloaded or stuck";
    default:
      return "";
  }
}

Status Unavailable(const Status& why, std::string_view advice = "") {
  return Error(StatusCode::kUnavailable, "connect: {}{}", Message(why), advice);
}

}  // namespace

Result<UniqueFd> ConnectToRuntime(const std::string& socket_path) {
  const Result<TrustedSocket> found = FindTrustedSocket(socket_path);
  if (found.status().code() == StatusCode::kNotFound)
    return Unavailable(found.status(), "; is the runtime running, and is this its socket?");
  if (!found.ok()) return Unavailable(found.status());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* address = reinterpret_cast<const sockaddr*>(&found->address);
  if (!fd || connect(fd.get(), address, sizeof found->address) != 0) {
    return Error(StatusCode::kUnavailable, "connect: {}{}", std::generic_category().message(errno), WhatToDo(errno));
  }
  if (const Status believed = CheckListener(fd.get()); !believed.ok()) return Unavailable(believed);
  return fd;
}

Status CheckMountsDoNotReach(const std::string& socket_path, const std::vector<std::string>& mounted_host_paths) {
  std::error_code error;
  const std::filesystem::path socket = std::filesystem::canonical(socket_path, error);
  if (error)
    return Error(StatusCode::kUnavailable, "look for the runtime's socket {}: {}", socket_path, error.message());
  std::vector<FileId> on_the_way;
  for (std::filesystem::path path = socket;; path = path.parent_path()) {
    ASSIGN_OR_RETURN(const std::optional<FileId> file, Identify(path.string()));
    if (file) on_the_way.push_back(*file);
    if (path == path.root_path()) break;
  }
  for (const std::string& mounted : mounted_host_paths) {
    ASSIGN_OR_RETURN(const std::optional<FileId> file, Identify(mounted));
    if (!file || std::find(on_the_way.begin(), on_the_way.end(), *file) == on_the_way.end()) continue;
    return Error(StatusCode::kPermissionDenied,
                 "{} of the node is mounted into it, and with that the runtime's socket {}: it could make containers "
                 "with any labels; run it without that mount",
                 Printable(mounted), socket_path);
  }
  return OkStatus();
}

}  // namespace lanyard
