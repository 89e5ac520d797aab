#include "node_agent/rpc/peer_process.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <charconv>

#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr int kSoCookie = 57;     // SO_COOKIE; named here because libc's headers may be older than the kernel
constexpr int kSoPeerPidfd = 77;  // SO_PEERPIDFD, Linux 6.5
constexpr uid_t kDefaultOverflowUid = 65534;

// A pidfd of the process that connected, or when the kernel cannot tell, of whoever has its pid now.
Result<std::pair<UniqueFd, PidfdSource>> PeerPidfd(int connection, pid_t pid) {
  int raw = -1;
  socklen_t size = sizeof(raw);
  if (getsockopt(connection, SOL_SOCKET, kSoPeerPidfd, &raw, &size) == 0)
    return std::make_pair(UniqueFd(raw), PidfdSource::kPeer);
  // ESRCH, and EINVAL on kernels before 6.16 that know the option, say that the peer is gone and reaped; then
  // pidfd_open finds nobody, or somebody else whose pid this now is. Only a kernel without the option may lead to
  // pidfd_open.
  if (errno == ESRCH) return Error(StatusCode::kNotFound, "process {} has exited", pid);
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
    return ErrnoStatus(errno, fmt::format("open pidfd of process {}", pid));
  if (errno != ENOPROTOOPT && errno != EOPNOTSUPP && errno != ENOSYS) {
    return Error(StatusCode::kNotFound, "process {} has exited or the kernel gives no pidfd of it: {}", pid,
                 std::generic_category().message(errno));
  }
  UniqueFd opened(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!opened) return ErrnoStatus(errno, fmt::format("open pidfd of process {}", pid));
  return std::make_pair(std::move(opened), PidfdSource::kOpen);
}

}  // namespace

uid_t OverflowUid() {
  Result<std::string> text = ReadFile("/proc/sys/kernel/overflowuid", 64);
  if (!text.ok()) return kDefaultOverflowUid;
  uid_t uid = kDefaultOverflowUid;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), uid);
  return error == std::errc() ? uid : kDefaultOverflowUid;
}

Status CheckPeerCredentials(pid_t pid, uid_t uid, uid_t overflow_uid) {
  if (pid <= 0) {
    return Error(
        StatusCode::kPermissionDenied,
        "peer of uid {} is in a pid namespace that this agent cannot see; run the agent in the host's pid namespace",
        uid);
  }
  if (uid == overflow_uid) {
    return Error(
        StatusCode::kPermissionDenied,
        "peer process {} has the overflow uid {}: its user is nobody, or has no number in this agent's user namespace",
        pid, uid);
  }
  return OkStatus();
}

bool KernelGivesPeerPidfds() {
  static const bool gives = [] {
    int pair[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return false;
    const UniqueFd one(pair[0]), other(pair[1]);
    int raw = -1;
    socklen_t size = sizeof(raw);
    if (getsockopt(one.get(), SOL_SOCKET, kSoPeerPidfd, &raw, &size) != 0) return false;
    UniqueFd{raw}.reset();
    return true;
  }();
  return gives;
}

Result<uint64_t> SocketCookie(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (getsockopt(fd, SOL_SOCKET, kSoCookie, &cookie, &size) != 0)
    return ErrnoStatus(errno, "read the cookie of a socket");
  return cookie;
}

bool HasHungUp(int fd) {
  pollfd look{.fd = fd, .events = 0, .revents = 0};
  return poll(&look, 1, 0) == 1 && (look.revents & POLLHUP) != 0;
}

Result<PeerProcess> PeerProcesses::Identify(int connection, uid_t& uid) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ErrnoStatus(errno, "read peer credentials");
  }
  uid = credentials.uid;
  RETURN_IF_ERROR(CheckPeerCredentials(credentials.pid, credentials.uid, overflow_uid_));
  ASSIGN_OR_RETURN(auto pidfd, PeerPidfd(connection, credentials.pid));
  ASSIGN_OR_RETURN(auto process, Share(credentials.pid, std::move(pidfd.first), pidfd.second));
  return PeerProcess{.process = std::move(process), .uid = credentials.uid, .gid = credentials.gid};
}

Result<std::shared_ptr<const ProcessRef>> PeerProcesses::Share(pid_t pid, UniqueFd pidfd, PidfdSource source) {
  auto known = known_.find(pid);
  if (known != known_.end()) {
    std::shared_ptr<const ProcessRef> process = known->second.lock();
    // The old one is asked first. The new one connected before that, so if it is alive afterwards, both were alive at
    // one moment with one pid. A pidfd that pidfd_open gave is never passed off as one that the kernel kept since
    // connect().
    if (process != nullptr && process->source() == source && process->StillRunning()) {
      const ProcessRef fresh(pid, std::move(pidfd), process->start_time(), source);
      if (!fresh.StillRunning()) return Error(StatusCode::kNotFound, "process {} has exited", pid);
      return process;
    }
  }
  ASSIGN_OR_RETURN(auto process, ProcessRef::FromPidfd(pid, std::move(pidfd), source));
  if (known_.size() >= forget_at_) ForgetDead();
  known_[pid] = process;
  return process;
}

void PeerProcesses::ForgetDead() {
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  forget_at_ = std::max<size_t>(64, known_.size() * 2);
}

}  // namespace lanyard
