// One process, named so that a reused pid cannot be taken for it.
//
// A pid alone names whoever has it now. A ProcessRef adds a pidfd, which stays with the process it was opened for, and
// the start time. The rule for reading /proc/PID: read, then ask StillRunning(); if it is true, everything read before
// was this process's.
//
// Lifetime: shared; the pidfd closes with the last owner. Thread: any (immutable).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

// How the pidfd was had, which decides what remains of the window between connect() and accept().
enum class PidfdSource {
  kPeer,  // SO_PEERPIDFD: the kernel kept it since connect(); no window
  kOpen,  // pidfd_open(pid) after accept: the pid could have been reused between the two (kernels before 6.5)
};

class ProcessRef {
 public:
  // Takes over `pidfd`, which must refer to `pid`. Reads the start time; NotFound when the process is gone.
  static Result<std::shared_ptr<const ProcessRef>> FromPidfd(pid_t pid, UniqueFd pidfd, PidfdSource source);
  // pidfd_open(2). NotFound when there is no such process.
  static Result<std::shared_ptr<const ProcessRef>> Open(pid_t pid);

  ProcessRef(pid_t pid, UniqueFd pidfd, uint64_t start_time, PidfdSource source)
      : pid_(pid), pidfd_(std::move(pidfd)), start_time_(start_time), source_(source) {}

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }
  uint64_t start_time() const { return start_time_; }  // clock ticks since boot, field 22 of /proc/PID/stat
  PidfdSource source() const { return source_; }

  // False once the process has exited, reaped or not (the pidfd becomes readable at exit).
  bool StillRunning() const;

  // "/proc/PID/<name>"
  std::string ProcPath(std::string_view name) const { return fmt::format("/proc/{}/{}", pid_, name); }

 private:
  pid_t pid_;
  UniqueFd pidfd_;
  uint64_t start_time_;
  PidfdSource source_;
};

// The caller at the other end of a Unix socket, as the kernel recorded it at connect().
struct PeerProcess {
  std::shared_ptr<const ProcessRef> process;
  uid_t uid = 0;  // effective at connect(), in our user namespace
  gid_t gid = 0;
};

}  // namespace lanyard
