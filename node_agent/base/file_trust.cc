#include "node_agent/base/file_trust.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <array>
#include <deque>
#include <string_view>
#include <utility>

#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr int kMaxSymlinks = 40;  // as the kernel's own limit, path_resolution(7)

// What a name on the path is for, which decides how strict to be with it.
enum class Role { kOnTheWay, kSymlink, kDirectory, kSocket, kPublicFile, kSecretFile };

struct Place {
  UniqueFd fd;  // O_PATH
  std::string path;
  struct stat info {};
};

bool OnReadOnlyMount(int fd) {
  struct statvfs mount {};
  return fstatvfs(fd, &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0;
}

Status Distrust(const Place& place, std::string_view why, std::string_view remedy) {
  return Error(StatusCode::kPermissionDenied, "{} {} (owner {}, mode {:04o}): {}", place.path, why, place.info.st_uid,
               place.info.st_mode & 07777, remedy);
}

Status CheckPlace(const Place& place, Role role) {
  const struct stat& info = place.info;
  const bool foreign = info.st_uid != 0 && info.st_uid != geteuid();
  // A symlink's mode means nothing; a socket's is for those who connect, and changes nothing for others.
  const bool writable = role != Role::kSymlink && role != Role::kSocket && (info.st_mode & 022) != 0;
  const bool sticky_way = role == Role::kOnTheWay && (info.st_mode & S_ISVTX) != 0;
  const bool readable = role == Role::kSecretFile && (info.st_mode & 044) != 0;
  if (!foreign && (!writable || sticky_way) && !readable) return OkStatus();
  if (OnReadOnlyMount(place.fd.get())) return OkStatus();

  if (foreign) {
    return Distrust(place, "belongs to another user",
                    fmt::format("run 'chown {}root {}'", role == Role::kSymlink ? "-h " : "", place.path));
  }
  if (writable && !sticky_way) {
    return Distrust(place, "can be changed by other users", fmt::format("run 'chmod go-w {}'", place.path));
  }
  return Distrust(place, "can be read by other users", fmt::format("run 'chmod go= {}'", place.path));
}

Result<Place> OpenPlace(int directory, const std::string& name, std::string path) {
  Place place;
  place.path = std::move(path);
  place.fd.reset(openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!place.fd || fstat(place.fd.get(), &place.info) != 0)
    return ErrnoStatus(errno, fmt::format("open {}", place.path));
  return place;
}

Result<std::string> LinkTarget(const Place& link) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = readlinkat(link.fd.get(), "", target.data(), target.size());
  if (length < 0) return ErrnoStatus(errno, fmt::format("read symlink {}", link.path));
  if (static_cast<size_t>(length) == target.size())
    return Error(StatusCode::kInvalidArgument, "symlink {} is too long", link.path);
  return std::string(target.data(), static_cast<size_t>(length));
}

// Puts the names of `path` before those that are still to be walked.
void Prepend(std::string_view path, std::deque<std::string>& names) {
  std::deque<std::string> first;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (const std::string_view name = path.substr(0, slash); !name.empty() && name != ".") first.emplace_back(name);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  names.insert(names.begin(), first.begin(), first.end());
}

Result<std::string> Absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  std::array<char, PATH_MAX> current{};
  if (path.empty() || getcwd(current.data(), current.size()) == nullptr) {
    return ErrnoStatus(path.empty() ? ENOENT : errno, fmt::format("resolve path '{}'", path));
  }
  return fmt::format("{}/{}", current.data(), path);
}

// Walks to the end of `path`, checking every directory and symlink on the way. The last place is returned unchecked.
Result<Place> Walk(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string absolute, Absolute(path));
  std::deque<std::string> names;
  Prepend(absolute, names);
  ASSIGN_OR_RETURN(Place here, OpenPlace(AT_FDCWD, "/", "/"));
  int symlinks = 0;
  while (!names.empty()) {
    if (!S_ISDIR(here.info.st_mode)) return ErrnoStatus(ENOTDIR, fmt::format("open {}", here.path));
    RETURN_IF_ERROR(CheckPlace(here, Role::kOnTheWay));
    const std::string name = std::move(names.front());
    names.pop_front();
    // ".." goes where the kernel would go: to the parent of what was really opened.
    std::string next_path = name == ".." ? ParentDirectory(here.path) : JoinPath(here.path, name);
    ASSIGN_OR_RETURN(Place next, OpenPlace(here.fd.get(), name, std::move(next_path)));
    if (!S_ISLNK(next.info.st_mode)) {
      here = std::move(next);
      continue;
    }
    RETURN_IF_ERROR(CheckPlace(next, Role::kSymlink));
    if (++symlinks > kMaxSymlinks) return ErrnoStatus(ELOOP, fmt::format("open {}", path));
    ASSIGN_OR_RETURN(const std::string target, LinkTarget(next));
    Prepend(target, names);
    if (target.starts_with('/')) {
      ASSIGN_OR_RETURN(here, OpenPlace(AT_FDCWD, "/", "/"));
    }
  }
  return here;
}

// Opens for reading exactly what was checked, by its descriptor and not by its name.
Result<UniqueFd> Reopen(const Place& place, int flags) {
  UniqueFd fd(open(fmt::format("/proc/self/fd/{}", place.fd.get()).c_str(), O_RDONLY | O_CLOEXEC | flags));
  if (!fd) return ErrnoStatus(errno, fmt::format("open {}", place.path));
  return fd;
}

}  // namespace

Result<UniqueFd> OpenTrustedFile(const std::string& path, FileSecrecy secrecy) {
  ASSIGN_OR_RETURN(const Place place, Walk(path));
  if (!S_ISREG(place.info.st_mode)) return Error(StatusCode::kFailedPrecondition, "open {}: not a regular file", path);
  RETURN_IF_ERROR(CheckPlace(place, secrecy == FileSecrecy::kSecret ? Role::kSecretFile : Role::kPublicFile));
  return Reopen(place, O_NONBLOCK | O_NOCTTY);
}

Result<UniqueFd> OpenTrustedDirectory(const std::string& path) {
  ASSIGN_OR_RETURN(const Place place, Walk(path));
  if (!S_ISDIR(place.info.st_mode)) return Error(StatusCode::kFailedPrecondition, "open {}: not a directory", path);
  RETURN_IF_ERROR(CheckPlace(place, Role::kDirectory));
  return Reopen(place, O_DIRECTORY);
}

Result<UniqueFd> OpenTrustedSocket(const std::string& path) {
  ASSIGN_OR_RETURN(Place place, Walk(path));
  if (!S_ISSOCK(place.info.st_mode)) return Error(StatusCode::kFailedPrecondition, "open {}: not a socket", path);
  RETURN_IF_ERROR(CheckPlace(place, Role::kSocket));
  return std::move(place.fd);
}

Status CheckTrustedFile(const std::string& path, FileSecrecy secrecy) {
  return OpenTrustedFile(path, secrecy).status();
}
Status CheckTrustedDirectory(const std::string& path) {
  return OpenTrustedDirectory(path).status();
}

Result<std::string> ReadTrustedFile(const std::string& path, size_t max_bytes, FileSecrecy secrecy) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenTrustedFile(path, secrecy));
  return ReadFd(fd.get(), max_bytes, path);
}

Result<WipedString> ReadTrustedSecret(const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenTrustedFile(path, FileSecrecy::kSecret));
  WipedString bytes;
  size_t used = 0;
  while (used <= max_bytes) {
    bytes.resize(std::max(bytes.size(), used + 4096));
    const ssize_t got = read(fd.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, fmt::format("read {}", path));
    used += static_cast<size_t>(got);
    if (got > 0) continue;
    bytes.resize(used);
    return bytes;
  }
  return Error(StatusCode::kResourceExhausted, "read {}: more than the {} bytes allowed", path, max_bytes);
}

}  // namespace lanyard
