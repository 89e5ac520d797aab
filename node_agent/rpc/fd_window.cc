#include "node_agent/rpc/fd_window.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

namespace lanyard {
namespace {

constexpr int kReserve = 256;      // files, sockets and pipes that are neither connections nor pidfds
constexpr int kEnough = 65536;     // more would cost kernel memory (8 bytes a number) for connections nobody has
constexpr int kFewestUseful = 64;  // connections

}  // namespace

Result<FdWindow> FdWindow::Reserve() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return ErrnoStatus(errno, "read the limit of open files");
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, kEnough);
  if (limit.rlim_cur < wanted) {
    rlimit raised{.rlim_cur = wanted, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit.rlim_cur = wanted;
  }
  const int high = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kEnough));
  const int connections = (high - kReserve) / 2;
  if (connections < kFewestUseful) {
    return Error(StatusCode::kResourceExhausted,
                 "the limit of open files is {}; raise it to at least {} (LimitNOFILE=, ulimit -n)", high,
                 kReserve + 2 * kFewestUseful);
  }
  const int low = high - connections;

  // The kernel's fd table grows now, while there is one thread.
  const int any = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (any < 0) return ErrnoStatus(errno, "open /dev/null");
  UniqueFd owner(any);
  UniqueFd highest(fcntl(any, F_DUPFD_CLOEXEC, high - 1));
  if (!highest) return ErrnoStatus(errno, fmt::format("reserve file descriptor numbers up to {}", high));
  return FdWindow(low, high);
}

Result<UniqueFd> FdWindow::Move(UniqueFd fd) {
  for (const int from : {next_, low_}) {
    // F_DUPFD takes the lowest free number from `from` on, which skips those in use.
    UniqueFd moved(fcntl(fd.get(), F_DUPFD_CLOEXEC, from));
    if (moved && moved.get() < high_) {
      next_ = moved.get() + 1 < high_ ? moved.get() + 1 : low_;
      return moved;
    }
    if (!moved && errno != EMFILE && errno != EINVAL)
      return ErrnoStatus(errno, "move a connection to a number of its own");
  }
  return Error(StatusCode::kResourceExhausted, "all {} file descriptor numbers for connections are in use", size());
}

}  // namespace lanyard
