#include "node_agent/audit/audit_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lanyard {
namespace {

bool StillNamed(int fd, const std::string& path) {
  struct stat by_fd {};
  struct stat by_name {};
  return fstat(fd, &by_fd) == 0 && lstat(path.c_str(), &by_name) == 0 && by_fd.st_dev == by_name.st_dev &&
         by_fd.st_ino == by_name.st_ino;
}

}  // namespace

Result<AuditLock> AuditLock::Acquire(const std::string& path) {
  const std::string name = path + ".lock";
  for (int attempt = 0; attempt < 10; ++attempt) {
    UniqueFd fd(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
    if (!fd) return ErrnoStatus(errno, fmt::format("lock audit log {}: open {}", path, name));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, fmt::format("lock audit log {}: lock {}", path, name));
      return Error(StatusCode::kFailedPrecondition,
                   "another lanyard writes to {}; stop it, or give each agent an audit.path of its own", path);
    }
    // Somebody removed or replaced the file between open and flock: what we hold locks nothing.
    if (StillNamed(fd.get(), name)) return AuditLock(std::move(fd));
  }
  return Error(StatusCode::kUnavailable, "lock audit log {}: {} is being replaced all the time", path, name);
}

}  // namespace lanyard
