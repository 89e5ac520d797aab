#include "node_agent/base/space_reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr uint64_t kBlockUnit = 512;  // of st_blocks (stat(2)), whatever the file system's blocks are

}  // namespace

Status SpaceReserve::Make() {
  if (bytes_ == 0) return OkStatus();
  RETURN_IF_ERROR(OpenFile());
  if (Status allocated = Allocate(); !allocated.ok()) {
    IGNORE_ERROR(Release(), "the error that says why there is no reserve comes first");
    return Annotate(allocated, "reserve {} bytes in {}", bytes_, path_);
  }
  held_ = true;
  return OkStatus();
}

Status SpaceReserve::Release() {
  held_ = false;
  if (!fd_) return OkStatus();
  if (ftruncate(fd_.get(), 0) != 0) return ErrnoStatus(errno, fmt::format("release the space held by {}", path_));
  // Some file systems hand freed blocks out again only after their own commit. Failing that, the space comes later.
  IGNORE_ERROR(fsync(fd_.get()), "see above");
  return OkStatus();
}

Status SpaceReserve::Restore() {
  if (bytes_ == 0) return OkStatus();
  struct statvfs info {};
  const std::string directory = ParentDirectory(path_);
  if (statvfs(directory.c_str(), &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", directory));
  const uint64_t available = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  if (available / 2 < bytes_) {
    return Error(StatusCode::kResourceExhausted,
                 "reserve {} bytes in {}: only {} bytes are free, and as much again must stay free", bytes_, path_,
                 available);
  }
  return Make();
}

Status SpaceReserve::OpenFile() {
  fd_.reset(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd_) return ErrnoStatus(errno, fmt::format("open the space reserve {}", path_));
  struct stat info {};
  if (fstat(fd_.get(), &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", path_));
  // It will be truncated: nothing that somebody else put there, or that has another name elsewhere.
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1 || info.st_uid != geteuid()) {
    fd_.reset();
    return Error(StatusCode::kFailedPrecondition,
                 "the space reserve {} is not a plain file of our own with one name; remove it", path_);
  }
  if ((info.st_mode & 07777) != 0600 && fchmod(fd_.get(), 0600) != 0) {
    return ErrnoStatus(errno, fmt::format("set mode 0600 on {}", path_));
  }
  return OkStatus();
}

Status SpaceReserve::Allocate() {
  struct stat info {};
  if (fstat(fd_.get(), &info) != 0) return ErrnoStatus(errno, "look at it");
  const auto size = static_cast<off_t>(bytes_);
  if (info.st_size > size && ftruncate(fd_.get(), size) != 0) return ErrnoStatus(errno, "shorten it");
  if (info.st_size >= size && static_cast<uint64_t>(info.st_blocks) * kBlockUnit >= bytes_) return OkStatus();

  int error = 0;
  do {  // not posix_fallocate: where fallocate is missing, glibc's own way through pwrite is a slow one
    error = fallocate(fd_.get(), 0, 0, size) == 0 ? 0 : errno;
  } while (error == EINTR);
  if (error == EOPNOTSUPP || error == ENOSYS) return WriteZeros();
  if (error != 0) return ErrnoStatus(error, "allocate");
  if (fsync(fd_.get()) != 0) return ErrnoStatus(errno, "fsync");
  return OkStatus();
}

Status SpaceReserve::WriteZeros() {
  const std::string zeros(64 * 1024, '\0');
  uint64_t written = 0;
  while (written < bytes_) {
    const size_t length = std::min<uint64_t>(zeros.size(), bytes_ - written);
    const ssize_t got = pwrite(fd_.get(), zeros.data(), length, static_cast<off_t>(written));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "write zeros");
    written += static_cast<uint64_t>(got);
  }
  if (fsync(fd_.get()) != 0) return ErrnoStatus(errno, "fsync");
  return OkStatus();
}

}  // namespace lanyard
