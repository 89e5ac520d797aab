#include "node_agent/state/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"

namespace lanyard {

Result<SecretBytes> ReadSecretFile(const std::string& path, std::size_t max_bytes) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenTrustedFile(path, FileSecrecy::kSecret));
  // A buffer of fixed size: one that grows would leave copies behind.
  SecretBytes buffer(max_bytes + 1);
  std::size_t used = 0;
  while (used < buffer.size()) {
    const ssize_t got = read(fd.get(), buffer.mutable_data() + used, buffer.size() - used);
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, fmt::format("read {}", path));
    }
    if (got == 0) return SecretBytes::CopyOf(buffer.expose().substr(0, used));
    used += static_cast<std::size_t>(got);
  }
  return Error(StatusCode::kResourceExhausted, "read {}: more than the {} bytes allowed", path, max_bytes);
}

Status WipeAndRemove(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT) return OkStatus();
  struct stat info {};
  // Only a plain file with this one name is overwritten: a hard link would take another file's content along.
  if (fd && fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1) {
    const std::string zeros(4096, '\0');
    off_t left = info.st_size;
    while (left > 0) {
      const ssize_t wrote = write(fd.get(), zeros.data(), static_cast<std::size_t>(std::min<off_t>(left, 4096)));
      if (wrote <= 0) break;  // removing it matters more
      left -= wrote;
    }
    fsync(fd.get());
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, fmt::format("remove {}", path));
  return SyncDirectory(ParentDirectory(path));
}

}  // namespace lanyard
