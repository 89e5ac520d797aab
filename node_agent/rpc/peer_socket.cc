#include "node_agent/rpc/peer_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 4096;  // as many as the kernel allows by default: whoever finds the queue full is turned away
constexpr size_t kPathLimit = sizeof(sockaddr_un::sun_path);  // 108, with the closing zero byte

struct Address {
  sockaddr_un bytes{};
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
};

Address MakeAddress(const std::string& path) {
  Address address;
  address.bytes.sun_family = AF_UNIX;
  std::memcpy(address.bytes.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status CheckPath(const std::string& path) {
  if (path.empty() || path[0] == '@' || path[0] == '\0') {
    return Error(StatusCode::kInvalidArgument,
                 "socket path \"{}\": abstract sockets are not supported, they have no file mode; use a path", path);
  }
  if (path[0] != '/')
    return Error(StatusCode::kInvalidArgument, "socket path \"{}\" is relative; use an absolute path", path);
  if (path.find('\0') != std::string::npos) return Error(StatusCode::kInvalidArgument, "socket path holds a zero byte");
  if (path.back() == '/') return Error(StatusCode::kInvalidArgument, "socket path \"{}\" names a directory", path);
  if (path.size() >= kPathLimit) {
    return Error(StatusCode::kInvalidArgument,
                 "socket path \"{}\" has {} bytes; the kernel allows {} (see unix(7)), use a shorter directory", path,
                 path.size(), kPathLimit - 1);
  }
  return OkStatus();
}

Status PrepareDirectory(const std::string& directory, const PeerSocketOptions& options) {
  struct stat found {};
  if (stat(directory.c_str(), &found) != 0) {
    if (errno != ENOENT) return ErrnoStatus(errno, fmt::format("look at directory {}", directory));
    RETURN_IF_ERROR(MakeDirectory(directory, options.directory_mode));
    if (options.group && chown(directory.c_str(), static_cast<uid_t>(-1), *options.group) != 0) {
      return ErrnoStatus(errno, fmt::format("give directory {} to group {}", directory, *options.group));
    }
    if (stat(directory.c_str(), &found) != 0) return ErrnoStatus(errno, fmt::format("look at directory {}", directory));
  }
  if (!S_ISDIR(found.st_mode)) return Error(StatusCode::kInvalidArgument, "{} is not a directory", directory);
  if ((found.st_mode & S_IWOTH) != 0 && (found.st_mode & S_ISVTX) == 0) {
    return Error(
        StatusCode::kInvalidArgument,
        "directory {} is writable by everybody, who could put another socket in the place of ours; chmod o-w it",
        directory);
  }
  return OkStatus();
}

// OK when the name is free or held by a socket that nobody listens on.
Status CheckPlaceIsFree(const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return OkStatus();
    return ErrnoStatus(errno, fmt::format("look at {}", path));
  }
  if (!S_ISSOCK(found.st_mode)) {
    return Error(StatusCode::kAlreadyExists, "{} exists and is not a socket; remove it or choose another path", path);
  }
  UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return ErrnoStatus(errno, "make a socket");
  const Address address = MakeAddress(path);
  if (connect(probe.get(), address.get(), sizeof(address.bytes)) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT) return OkStatus();
    if (errno == EAGAIN)
      return Error(StatusCode::kAlreadyExists, "{} is in use: a process listens there and its queue is full", path);
    return ErrnoStatus(errno, fmt::format("find out whether anybody listens on {}", path));
  }
  ucred owner{};
  socklen_t size = sizeof(owner);
  if (getsockopt(probe.get(), SOL_SOCKET, SO_PEERCRED, &owner, &size) != 0) owner.pid = 0;
  return Error(StatusCode::kAlreadyExists, "{} is in use: process {} listens there; stop it or choose another path",
               path, owner.pid);
}

// The name under which the socket gets its mode, in the same directory. Through /proc when the directory's own path
// leaves no room.
std::string TemporaryName(const std::string& directory, int directory_fd, const std::string& name) {
  std::string temporary = fmt::format("{}/{}", directory, name);
  if (temporary.size() < kPathLimit) return temporary;
  return fmt::format("/proc/self/fd/{}/{}", directory_fd, name);
}

// As bind(2) has just made it for us. No permission: any other socket of ours has some.
bool IsNewSocket(const struct stat& found) {
  return S_ISSOCK(found.st_mode) && (found.st_mode & 07777) == 0 && found.st_uid == geteuid() && found.st_nlink == 1;
}

bool IsSocketWith(int fd, int option, int wanted) {
  int value = -1;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

// The path that a Unix socket is bound to; for people when it is none ("(no address)", "@name").
Result<std::string> AddressOf(int fd) {
  sockaddr_un address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return ErrnoStatus(errno, "read the address of a socket");
  const size_t length = std::min<size_t>(size, sizeof(address)) - offsetof(sockaddr_un, sun_path);
  if (length == 0) return std::string("(no address)");
  if (address.sun_path[0] == '\0') return "@" + std::string(address.sun_path + 1, length - 1);
  return std::string(address.sun_path, strnlen(address.sun_path, length));
}

}  // namespace

Result<PeerSocket> PeerSocket::Bind(const PeerSocketOptions& options) {
  RETURN_IF_ERROR(CheckPath(options.path));
  const std::string directory = ParentDirectory(options.path);
  const std::string base_name = options.path.substr(options.path.rfind('/') + 1);
  RETURN_IF_ERROR(Annotate(PrepareDirectory(directory, options), "listen on {}", options.path));
  RETURN_IF_ERROR(CheckPlaceIsFree(options.path));

  UniqueFd directory_fd(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory_fd) return ErrnoStatus(errno, fmt::format("open directory {}", directory));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return ErrnoStatus(errno, "make a socket");
  // No permission for anybody from the first instant: a socket takes the mode of its inode from its fd's mode and the
  // umask.
  if (fchmod(fd.get(), 0) != 0) return ErrnoStatus(errno, "set the mode of a socket");
  const std::string name = fmt::format(".new-{}", getpid());
  unlinkat(directory_fd.get(), name.c_str(), 0);  // a leftover of an agent that was killed right here
  const std::string temporary = TemporaryName(directory, directory_fd.get(), name);
  const Address address = MakeAddress(temporary);
  if (bind(fd.get(), address.get(), sizeof(address.bytes)) != 0)
    return ErrnoStatus(errno, fmt::format("bind {}", options.path));

  const auto finish = [&]() -> Result<PeerSocket> {
    const auto swapped = [&] {
      return Error(StatusCode::kUnavailable,
                   "listen on {}: the new socket was taken away or replaced while it was made: somebody else writes "
                   "directory {}; let nobody but the node agent write it",
                   options.path, directory);
    };
    // What the name leads to may change at any instant; the inode that was bound stays.
    const UniqueFd inode(openat(directory_fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!inode && errno != ENOENT) return ErrnoStatus(errno, fmt::format("look at the new socket of {}", options.path));
    struct stat made {};
    if (!inode || fstat(inode.get(), &made) != 0 || !IsNewSocket(made)) return swapped();
    if (options.group && fchownat(inode.get(), "", static_cast<uid_t>(-1), *options.group, AT_EMPTY_PATH) != 0) {
      return ErrnoStatus(errno, fmt::format("give {} to group {}", options.path, *options.group));
    }
    // fchmod refuses what is open for its path alone; the link in /proc leads to that very inode.
    if (chmod(fmt::format("/proc/self/fd/{}", inode.get()).c_str(), options.mode) != 0) {
      return ErrnoStatus(errno, fmt::format("set the mode of {}", options.path));
    }
    if (listen(fd.get(), kBacklog) != 0) return ErrnoStatus(errno, fmt::format("listen on {}", options.path));
    struct stat now {};
    if (fstatat(directory_fd.get(), name.c_str(), &now, AT_SYMLINK_NOFOLLOW) != 0 || now.st_dev != made.st_dev ||
        now.st_ino != made.st_ino) {
      return swapped();
    }
    if (renameat(directory_fd.get(), name.c_str(), directory_fd.get(), base_name.c_str()) != 0) {
      return ErrnoStatus(errno, fmt::format("put the socket at {}", options.path));
    }
    return PeerSocket(std::move(fd), options.path, Name{made.st_dev, made.st_ino});
  };
  Result<PeerSocket> bound = finish();
  if (!bound.ok()) unlinkat(directory_fd.get(), name.c_str(), 0);
  return bound;
}

Result<PeerSocket> PeerSocket::Adopt(UniqueFd fd, const PeerSocketOptions& options) {
  RETURN_IF_ERROR(CheckPath(options.path));
  if (!IsSocketWith(fd.get(), SO_DOMAIN, AF_UNIX) || !IsSocketWith(fd.get(), SO_TYPE, SOCK_STREAM) ||
      !IsSocketWith(fd.get(), SO_ACCEPTCONN, 1)) {
    return Error(
        StatusCode::kInvalidArgument,
        "adopt the socket for {}: what the service manager passed is no listening Unix stream socket; give the "
        "socket unit ListenStream={} and no Accept=yes",
        options.path, options.path);
  }
  ASSIGN_OR_RETURN(const std::string bound, AddressOf(fd.get()));
  if (bound != options.path) {
    return Error(StatusCode::kInvalidArgument,
                 "adopt the socket for {}: the service manager listens on {}; write the same path in the configuration "
                 "and in ListenStream= of the socket unit",
                 options.path, bound);
  }
  RETURN_IF_ERROR(Annotate(PrepareDirectory(ParentDirectory(options.path), options), "adopt {}", options.path));
  struct stat found {};
  if (lstat(options.path.c_str(), &found) != 0)
    return ErrnoStatus(errno,
                       fmt::format("adopt {}: look at it (restart the socket unit to make it anew)", options.path));
  if (const mode_t more = found.st_mode & 0777 & ~options.mode; !S_ISSOCK(found.st_mode) || more != 0) {
    return Error(
        StatusCode::kInvalidArgument,
        "adopt {}: its mode is {:04o}, the configuration says {:04o}; set SocketMode={:04o} in the socket unit",
        options.path, found.st_mode & 07777, options.mode, options.mode);
  }
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0)
    return ErrnoStatus(errno, fmt::format("adopt {}: set its flags", options.path));
  return PeerSocket(std::move(fd), options.path, std::nullopt);
}

Result<PeerSocket> PeerSocket::Open(PeerSocketOptions options) {
  if (!options.inherited) return Bind(options);
  UniqueFd fd = std::move(options.inherited);
  return Adopt(std::move(fd), options);
}

PeerSocket& PeerSocket::operator=(PeerSocket&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::move(other.fd_);
    path_ = std::move(other.path_);
    own_ = other.own_;
  }
  return *this;
}

void PeerSocket::Close() {
  if (!fd_) return;
  struct stat now {};
  // Another agent may have taken the place since; its socket stays. (Between the look and the removal nothing can be
  // promised.)
  if (own_ && lstat(path_.c_str(), &now) == 0 && now.st_dev == own_->device && now.st_ino == own_->inode)
    unlink(path_.c_str());
  fd_.reset();
}

}  // namespace lanyard
