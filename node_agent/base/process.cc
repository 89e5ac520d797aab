#include "node_agent/base/process.h"

#include <poll.h>
#include <sys/syscall.h>

#include <charconv>

#include "node_agent/base/file.h"

namespace lanyard {

Result<uint64_t> ParseStartTime(std::string_view stat) {
  // proc(5): "pid (comm) state ppid …"; comm is whatever the process likes, so count from the last ')'.
  const size_t end_of_name = stat.rfind(')');
  if (end_of_name == std::string_view::npos)
    return Error(StatusCode::kInternal, "parse process status: no command name");
  std::string_view rest = stat.substr(end_of_name + 1);
  for (int field = 3; field <= 22; ++field) {
    const size_t start = rest.find_first_not_of(' ');
    if (start == std::string_view::npos)
      return Error(StatusCode::kInternal, "parse process status: only {} fields", field - 1);
    rest.remove_prefix(start);
    if (field == 22) break;
    const size_t end = rest.find(' ');
    if (end == std::string_view::npos)
      return Error(StatusCode::kInternal, "parse process status: only {} fields", field);
    rest.remove_prefix(end);
  }
  uint64_t ticks = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  const std::string_view after = rest.substr(static_cast<size_t>(end - rest.data()));
  if (error != std::errc() || end == rest.data() || (!after.empty() && after.front() != ' ' && after != "\n"))
    return Error(StatusCode::kInternal, "parse process status: start time is not a number");
  return ticks;
}

Result<std::shared_ptr<const ProcessRef>> ProcessRef::FromPidfd(pid_t pid, UniqueFd pidfd, PidfdSource source) {
  Result<std::string> stat = ReadFile(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat.ok()) return Annotate(stat.status(), "read start time of pid {}", pid);
  ASSIGN_OR_RETURN(const uint64_t start_time, ParseStartTime(*stat));
  auto process = std::make_shared<const ProcessRef>(pid, std::move(pidfd), start_time, source);
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
