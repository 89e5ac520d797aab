// A server on this machine that may be believed: only root's, or one of our own user's.
//
// A name in the file system says little about who answers behind it. So the way to the socket is checked as that of a
// file is (file_trust.h), what was checked is what is connected to, and before the first byte the kernel is asked who
// made the other side listen.
//
// Thread: any; the first blocks on the disk (of the directories on the way), nothing on the server.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct TrustedSocket {
  UniqueFd file;
  sockaddr_un address;  // to connect to; means this socket as long as `file` is open
};

// Errors: NotFound when there is none, PermissionDenied when others could put one of theirs there.
Result<TrustedSocket> FindTrustedSocket(const std::string& path);

// Who made the other side of a connected stream socket listen: its pid as seen from here (0 when it cannot be seen),
// uid and gid. PermissionDenied, naming the user, when it is another than root and our own.
Result<ucred> CheckListener(int fd);

// All of that: a stream socket that does not block, connected. Besides the errors above those of connect(), which does
// not wait either: Unavailable when nobody listens, or too many wait to be accepted.
Result<UniqueFd> ConnectTrusted(const std::string& path);

}  // namespace lanyard
