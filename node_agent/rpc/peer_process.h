// Who is at the other end of an accepted Unix socket, from the kernel alone.
//
// SO_PEERCRED gives pid, uid and gid as they were at connect(). SO_PEERPIDFD (Linux 6.5) gives a pidfd of that very
// process; on an older kernel pidfd_open(pid) is the next best, and the ProcessRef says so. Connections of one process
// share one ProcessRef, hence one pidfd: two pidfds of one pid that are both alive at the same moment are the same
// process.
//
// Refused, because no attestor could find out whose they are: pid 0 (the peer lives in a pid namespace that we cannot
// see) and the overflow uid (the peer's uid has no number in our user namespace).
//
// Thread: loop.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "node_agent/base/fd.h"
#include "node_agent/base/process.h"
#include "node_agent/base/status.h"

namespace lanyard {

// The uid that the kernel shows for uids without a number in our user namespace; 65534 when /proc does not say.
uid_t OverflowUid();

// PermissionDenied for peers of whom nothing can be known: pid 0, the overflow uid.
Status CheckPeerCredentials(pid_t pid, uid_t uid, uid_t overflow_uid);

// Whether this kernel hands out the pidfd of a socket's peer (SO_PEERPIDFD); asked once, with a socket pair of our own:
// for the first time while there are descriptors left.
bool KernelGivesPeerPidfds();

// The kernel's 64-bit number of a socket, never used twice until reboot.
Result<uint64_t> SocketCookie(int fd);

// Has the other side closed already? Asked before anything is made for a connection: a flood of connections that are
// dropped at once then fills the kernel's queue, through which everybody comes, for a tenth of the time.
bool HasHungUp(int fd);

class PeerProcesses {
 public:
  PeerProcesses() : overflow_uid_(OverflowUid()) {}

  // PermissionDenied: refused as above. NotFound: the peer has exited already. `uid` is set whenever the kernel told
  // it.
  Result<PeerProcess> Identify(int connection, uid_t& uid);

 private:
  Result<std::shared_ptr<const ProcessRef>> Share(pid_t pid, UniqueFd pidfd, PidfdSource source);
  void ForgetDead();

  uid_t overflow_uid_;
  std::unordered_map<pid_t, std::weak_ptr<const ProcessRef>> known_;
  size_t forget_at_ = 64;
};

}  // namespace lanyard
