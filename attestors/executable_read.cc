#include "attestors/executable_read.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "attestors/mount_owner.h"
#include "node_agent/base/file.h"
#include "pki/digest.h"

namespace lanyard {
namespace {

constexpr size_t kPiece = size_t{128} * 1024;
constexpr size_t kMaxMountInfo = size_t{16} * 1024 * 1024;

// Not in linux/magic.h of every kernel's headers.
constexpr uint64_t kFuseMagic = 0x65735546;
constexpr uint64_t kJfsMagic = 0x3153464a;
constexpr uint64_t kBcachefsMagic = 0xca451a4e;

// A mount of our own user namespace's root.
Result<bool> RootMountedIt(const ReadRequest& request) {
  ASSIGN_OR_RETURN(const UniqueFd list, request.process->OpenFile("mountinfo"));
  ASSIGN_OR_RETURN(const std::string text, ReadFd(list.get(), kMaxMountInfo, "mountinfo of the caller"));
  ASSIGN_OR_RETURN(const std::vector<Mount> mounts, ParseMountInfo(text));
  const bool there =
      std::any_of(mounts.begin(), mounts.end(), [&](const Mount& m) { return m.id == request.executable.mount_id; });
  if (!there) return false;
  return OnlyRootMounts(*request.process, *request.mounts);
}

// Whether what we read is what exec read. Kernel file systems show everybody the same bytes. A FUSE server need not; an
// overlay may have one below it, and any user can mount both in a user namespace of its own.
Result<bool> BytesAreTheKernels(const ReadRequest& request, uint64_t magic) {
  const Mount* own = request.mounts->Find(request.executable.mount_id);
  if (magic == kFuseMagic) {
    // user_id is only meaningful in our own table: elsewhere it is written as the mounter's user namespace has it.
    return own != nullptr && HasMountOption(own->super_options, "user_id=0");
  }
  if (magic == OVERLAYFS_SUPER_MAGIC && own == nullptr) return RootMountedIt(request);
  return true;
}

int64_t KernelNow() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);  // the clock that stamps files; only ever compared with such stamps
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

}  // namespace

bool MayCache(const FileVersion& file, uint64_t file_system_magic, int64_t now_ns) {
  constexpr std::array<uint64_t, 7> kLocal = {EXT4_SUPER_MAGIC,     XFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, SQUASHFS_MAGIC,
                                              EROFS_SUPER_MAGIC_V1, kJfsMagic,       kBcachefsMagic};
  constexpr int64_t kSettled = 2'000'000'000;
  if (file.device_major == 0) return false;
  if (std::find(kLocal.begin(), kLocal.end(), file_system_magic) == kLocal.end()) return false;
  return std::max(file.ctime_ns, file.mtime_ns) <= now_ns - kSettled;
}

Result<std::string> HashFile(int fd, const FileVersion& before, uint64_t max_bytes,
                             const std::atomic<bool>& cancelled) {
  if (before.size > max_bytes) {
    return Error(StatusCode::kResourceExhausted, "hash executable: {} bytes are more than the {} allowed", before.size,
                 max_bytes);
  }
  Sha256 sha256;
  std::string piece(kPiece, '\0');
  uint64_t total = 0;
  while (true) {
    if (cancelled.load(std::memory_order_relaxed))
      return Error(StatusCode::kCancelled, "hash executable: nobody waits any more");
    const ssize_t got = read(fd, piece.data(), piece.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "hash executable: read");
    }
    if (got == 0) break;
    total += static_cast<uint64_t>(got);
    if (total > before.size) break;  // it grows
    sha256.Update(std::string_view(piece).substr(0, static_cast<size_t>(got)));
  }
  ASSIGN_OR_RETURN(const FileVersion after, StatFile(fd, "", AT_EMPTY_PATH));
  if (after != before || total != before.size) {
    return Error(StatusCode::kUnavailable, "hash executable: the file was changed while it was read; ask again");
  }
  return sha256.FinishHex();
}

Result<ReadResult> HashExecutable(const ReadRequest& request, const std::atomic<bool>& cancelled) {
  ASSIGN_OR_RETURN(const UniqueFd file, request.process->OpenFile("exe"));
  ASSIGN_OR_RETURN(const FileVersion before, StatFile(file.get(), "", AT_EMPTY_PATH));
  if (!before.SameFile(request.executable.file)) {
    return Error(StatusCode::kUnavailable, "hash executable: the process runs another one by now; ask again");
  }
  struct statfs file_system {};
  if (fstatfs(file.get(), &file_system) != 0) return ErrnoStatus(errno, "hash executable: look at its file system");
  const auto magic = static_cast<uint64_t>(file_system.f_type) & 0xffffffff;

  ASSIGN_OR_RETURN(const bool believable, BytesAreTheKernels(request, magic));
  if (!believable) return ReadResult{std::nullopt, false};
  const int64_t now = KernelNow();
  ASSIGN_OR_RETURN(std::string hex, HashFile(file.get(), before, request.max_bytes, cancelled));
  return ReadResult{std::move(hex), before == request.executable.file && MayCache(before, magic, now)};
}

}  // namespace lanyard
