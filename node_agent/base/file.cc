#include "node_agent/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "node_agent/base/fd.h"

namespace lanyard {
namespace {

Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, fmt::format("write {}", path));
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return OkStatus();
}

// Writes a fresh temporary file completely to the disk.
Status WriteTemporary(const std::string& path, std::string_view bytes, mode_t mode) {
  unlink(path.c_str());  // left over from a crash
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0600));
  if (!fd) return ErrnoStatus(errno, fmt::format("create {}", path));
  RETURN_IF_ERROR(WriteAll(fd.get(), bytes, path));
  if (fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, fmt::format("set mode {:04o} on {}", mode, path));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", path));
  return OkStatus();
}

}  // namespace

Result<std::string> ReadFd(int fd, size_t max_bytes, std::string_view name) {
  std::string bytes;
  size_t used = 0;
  while (true) {
    if (used > max_bytes)
      return Error(StatusCode::kResourceExhausted, "read {}: more than the {} bytes allowed", name, max_bytes);
    bytes.resize(std::max<size_t>(bytes.size(), used + 4096));
    const ssize_t got = read(fd, bytes.data() + used, bytes.size() - used);
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, fmt::format("read {}", name));
    }
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used == bytes.size()) bytes.resize(used * 2);
  }
  bytes.resize(used);
  return bytes;
}

Result<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, fmt::format("open {}", path));
  return ReadFd(fd.get(), max_bytes, path);
}

Status WriteFileAtomic(const std::string& path, std::string_view bytes, mode_t mode) {
  const std::string temporary = path + ".tmp";
  if (Status written = WriteTemporary(temporary, bytes, mode); !written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return ErrnoStatus(error, fmt::format("rename {} to {}", temporary, path));
  }
  return SyncDirectory(ParentDirectory(path));
}

Status MakeDirectory(const std::string& path, mode_t mode) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return OkStatus();
    return Error(StatusCode::kFailedPrecondition, "make directory {}: a file is in its place", path);
  }
  const std::string parent = ParentDirectory(path);
  if (parent != path && parent != "." && parent != "/") RETURN_IF_ERROR(MakeDirectory(parent, 0755));
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return ErrnoStatus(errno, fmt::format("make directory {}", path));
  if (chmod(path.c_str(), mode) != 0) return ErrnoStatus(errno, fmt::format("set mode {:04o} on {}", mode, path));
  return OkStatus();
}

Status SyncDirectory(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoStatus(errno, fmt::format("open directory {}", path));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync directory {}", path));
  return OkStatus();
}

std::string ParentDirectory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  return fmt::format("{}/{}", directory == "/" ? "" : directory, name);
}

}  // namespace lanyard
