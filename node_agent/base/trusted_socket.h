// A server on this machine that may be believed: only root's, or one of our own user's.
//
// A name in the file system says little about who answers behind it. So the way to the socket is checked as that of a
// file is (file_trust.h), what was checked is what is connected to, and before the first byte the kernel is asked who
// made the other side listen.
//
// Thread: any; the first blocks on the disk (of the directories on the way), nothing on the server.
#pragma once

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

// Of a connected stream socket. PermissionDenied, naming the user, when another than root and our own answers.
Status CheckListener(int fd);

}  // namespace lanyard
