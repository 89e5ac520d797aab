#include "node_agent/base/process.h"

#include <poll.h>
#include <sys/syscall.h>

#include "node_agent/base/file.h"
#include "node_agent/base/procfs.h"

namespace lanyard {

Result<std::shared_ptr<const ProcessRef>> ProcessRef::FromPidfd(pid_t pid, UniqueFd pidfd, PidfdSource source) {
  Result<std::string> text = ReadFile(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text.ok()) return Annotate(text.status(), "read start time of pid {}", pid);
  ASSIGN_OR_RETURN(const ProcStat stat, ParseProcStat(*text));
  auto process = std::make_shared<const ProcessRef>(pid, std::move(pidfd), stat.start_time, source);
  if (!process->StillRunning()) return Error(StatusCode::kNotFound, "process {} has exited", pid);
  return process;
}

Result<std::shared_ptr<const ProcessRef>> ProcessRef::Open(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return ErrnoStatus(errno, fmt::format("open pidfd of process {}", pid));
  return FromPidfd(pid, std::move(pidfd), PidfdSource::kOpen);
}

bool ProcessRef::StillRunning() const {
  pollfd request{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return poll(&request, 1, 0) == 0;
}

}  // namespace lanyard
