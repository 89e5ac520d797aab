#include "node_agent/state/data_dir_lock.h"

#include <unistd.h>

#include <utility>

#include "node_agent/base/file.h"
#include "node_agent/base/file_lock.h"
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

}  // namespace

Result<DataDirLock> DataDirLock::Acquire(const std::string& directory) {
  RETURN_IF_ERROR(Annotate(MakeDirectory(directory, 0700), "data directory"));
  // Whoever may rename what is in here could swap the CA.
  RETURN_IF_ERROR(Annotate(CheckTrustedDirectory(directory), "data directory"));
  Result<FileLock> lock = TryLockFile(directory + "/lock");
  if (!lock.ok()) return Annotate(lock.status(), "lock data directory");
  if (!lock->taken) {
    return Error(StatusCode::kFailedPrecondition,
                 "another lanyard (pid {}) uses {}; stop it, or choose another data_dir", HolderOf(lock->fd.get()),
                 directory);
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(lock->fd.get(), 0) != 0 || pwrite(lock->fd.get(), pid.data(), pid.size(), 0) < 0) {
    // The number is for messages only; a full disk must not keep the agent from starting.
  }
  return DataDirLock(directory, std::move(lock->fd));
}

}  // namespace lanyard
