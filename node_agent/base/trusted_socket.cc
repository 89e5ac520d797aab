#include "node_agent/base/trusted_socket.h"

#include <sys/socket.h>
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

Status CheckListener(int fd) {
  ucred listener{};
  socklen_t size = sizeof(listener);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0)
    return ErrnoStatus(errno, "ask the kernel who answers");
  // Whoever called listen(). A user of another user namespace is seen as one that is nobody's in ours: root of a
  // container with a namespace of its own is not taken for root.
  if (listener.uid == 0 || listener.uid == geteuid()) return OkStatus();
  return Error(StatusCode::kPermissionDenied,
               "uid {} answers there, and only root and uid {} are believed: point to a socket of theirs", listener.uid,
               geteuid());
}

}  // namespace lanyard
