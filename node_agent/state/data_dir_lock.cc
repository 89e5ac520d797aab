#include "node_agent/state/data_dir_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"

namespace lanyard {
namespace {

// The number that the holder wrote, or "unknown" when there is none (yet).
std::string HolderOf(int fd) {
  char text[32] = {};
  const ssize_t got = pread(fd, text, sizeof text - 1, 0);
  std::string pid(text, got > 0 ? static_cast<size_t>(got) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  const bool number = !pid.empty() && pid.find_first_not_of("0123456789") == std::string::npos;
  return number ? pid : "unknown";
}

bool StillNamed(int fd, const std::string& path) {
  struct stat by_fd {};
  struct stat by_name {};
  return fstat(fd, &by_fd) == 0 && lstat(path.c_str(), &by_name) == 0 && by_fd.st_dev == by_name.st_dev &&
         by_fd.st_ino == by_name.st_ino;
}

}  // namespace

Result<DataDirLock> DataDirLock::Acquire(const std::string& directory) {
  RETURN_IF_ERROR(Annotate(MakeDirectory(directory, 0700), "data directory"));
  // Whoever may rename what is in here could swap the CA.
  RETURN_IF_ERROR(Annotate(CheckTrustedDirectory(directory), "data directory"));
  const std::string path = directory + "/lock";
  for (int attempt = 0; attempt < 10; ++attempt) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd) return ErrnoStatus(errno, fmt::format("lock data directory: open {}", path));
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno != EWOULDBLOCK) return ErrnoStatus(errno, fmt::format("lock {}", path));
      return Error(StatusCode::kFailedPrecondition,
                   "another lanyard (pid {}) uses {}; stop it, or choose another data_dir", HolderOf(fd.get()),
                   directory);
    }
    // Somebody removed or replaced the file between open and flock: what we hold locks nothing.
    if (!StillNamed(fd.get(), path)) continue;
    const std::string pid = fmt::format("{}\n", getpid());
    if (ftruncate(fd.get(), 0) != 0 || pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) {
      // The number is for messages only; a full disk must not keep the agent from starting.
    }
    return DataDirLock(directory, std::move(fd));
  }
  return Error(StatusCode::kUnavailable, "lock {}: the file is being replaced all the time", path);
}

}  // namespace lanyard
