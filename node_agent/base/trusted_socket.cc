#include "node_agent/base/trusted_socket.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "node_agent/base/file_trust.h"

namespace lanyard {

Result<TrustedSocket> FindTrustedSocket(const std::string& path) {
  TrustedSocket found{.file = {}, .address = {}};
  ASSIGN_OR_RETURN(found.file, OpenTrustedSocket(path));
  found.address.sun_family = AF_UNIX;
  const std::string name = fmt::format("/proc/self/fd/{}", found.file.get());  // far shorter than an address may be
  std::copy(name.begin(), name.end(), found.address.sun_path);
  return found;
}

Result<ucred> CheckListener(int fd) {
  ucred listener{};
  socklen_t size = sizeof(listener);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0)
    return ErrnoStatus(errno, "ask the kernel who answers");
  // Whoever called listen(). A user of another user namespace is seen as one that is nobody's in ours: root of a
  // container with a namespace of its own is not taken for root.
  if (listener.uid == 0 || listener.uid == geteuid()) return listener;
  return Error(StatusCode::kPermissionDenied,
               "uid {} answers there, and only root and uid {} are believed: point to a socket of theirs", listener.uid,
               geteuid());
}

Result<UniqueFd> ConnectTrusted(const std::string& path) {
  ASSIGN_OR_RETURN(const TrustedSocket found, FindTrustedSocket(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoStatus(errno, "make a socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&found.address), sizeof found.address) != 0) {
    if (errno == EAGAIN) return Error(StatusCode::kUnavailable, "connect: too many connections wait to be accepted");
    if (errno == ECONNREFUSED) return Error(StatusCode::kUnavailable, "connect: nobody listens there");
    return ErrnoStatus(errno, "connect");
  }
  RETURN_IF_ERROR(CheckListener(fd.get()).status());
  return fd;
}

}  // namespace lanyard
