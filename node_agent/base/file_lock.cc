#include "node_agent/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

namespace lanyard {
namespace {

bool StillNamed(int fd, const std::string& path) {
  struct stat by_fd {};
  struct stat by_name {};
  return fstat(fd, &by_fd) == 0 && lstat(path.c_str(), &by_name) == 0 && by_fd.st_dev == by_name.st_dev &&
         by_fd.st_ino == by_name.st_ino;
}

}  // namespace

Result<FileLock> TryLockFile(const std::string& path) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
    if (!fd) return ErrnoStatus(errno, fmt::format("open {}", path));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, fmt::format("lock {}", path));
      return FileLock{.fd = std::move(fd), .taken = false};
    }
    // Somebody removed or replaced the file between open and flock: what we hold locks nothing.
    if (StillNamed(fd.get(), path)) return FileLock{.fd = std::move(fd), .taken = true};
  }
  return Error(StatusCode::kUnavailable, "lock {}: the file is being replaced all the time", path);
}

}  // namespace lanyard
