// A listening Unix socket at a path: bound by us so that nobody ever sees it with the wrong mode, or adopted from a
// service manager that keeps it open across our restarts.
//
// Bind makes the directory when it is absent, takes the place of a socket that nobody listens on any more, and refuses
// to take one from a running agent or to remove a file that is no socket. The socket is bound under a temporary name,
// given its mode and group, set to listen, and only then renamed. Mode and group go to the inode that was bound, never
// to what a name leads to: whoever may write the directory gets nothing else of ours opened by it. Abstract sockets are
// refused: they have no mode, and every network namespace has its own.
//
// An adopted socket was made by somebody else, so everything is checked that Bind would have seen to: kind, address,
// and a mode that lets in no more than the configuration does. Clients that connect while no agent runs wait in its
// queue and are served by the next one.
//
// Lifetime: destroying it closes the socket and, unless it was adopted, removes the name if it still is this very
// socket. Thread: any, one at a time.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct PeerSocketOptions {
  std::string path;  // absolute, at most 107 bytes
  mode_t mode = 0777;
  std::optional<gid_t> group{};  // of the socket, and of the directory when that is made here
  mode_t directory_mode = 0755;  // of the directory, when it is made here
  UniqueFd inherited{};          // a listening socket that a service manager passed on: adopted instead of bound
};

class PeerSocket {
 public:
  // InvalidArgument: the path is relative, abstract, too long, or its directory is writable by everybody.
  // AlreadyExists: another process listens there (its pid is named), or something that is not a socket is in its place.
  // Unavailable: somebody else who writes the directory took the socket away while it was made.
  static Result<PeerSocket> Bind(const PeerSocketOptions& options);
  // Takes over `fd`. InvalidArgument, with what to change in the socket unit: it is no listening stream socket, is
  // bound to another address than options.path, or its mode lets in more than options.mode.
  static Result<PeerSocket> Adopt(UniqueFd fd, const PeerSocketOptions& options);
  // Adopts options.inherited if there is one, else binds.
  static Result<PeerSocket> Open(PeerSocketOptions options);

  PeerSocket(PeerSocket&&) noexcept = default;
  PeerSocket& operator=(PeerSocket&& other) noexcept;
  ~PeerSocket() { Close(); }

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  // Safe to call twice.
  void Close();

 private:
  struct Name {  // of a socket that was bound here
    dev_t device;
    ino_t inode;
  };
  PeerSocket(UniqueFd fd, std::string path, std::optional<Name> own)
      : fd_(std::move(fd)), path_(std::move(path)), own_(own) {}

  UniqueFd fd_;
  std::string path_;
  std::optional<Name> own_;
};

}  // namespace lanyard
