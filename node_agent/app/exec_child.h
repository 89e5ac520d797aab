// The program that `lanyard exec` runs, and the signals between it and us.
//
// ChildSignals blocks the signals that are for the program before any thread begins, so that all threads inherit it,
// and shows them on a descriptor. A signal that the terminal sent has reached the program already (it is in the same
// process group) and is not passed on twice.
//
// Thread: main.
#pragma once

#include <signal.h>
#include <sys/signalfd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

// "HUP", "SIGHUP", "hup" or "1".
Result<int> ParseSignal(const std::string& text);

class ChildSignals {
 public:
  static Result<ChildSignals> Block();

  int fd() const { return fd_.get(); }
  std::optional<signalfd_siginfo> Next() const;  // nothing: no more now
  const sigset_t& mask_before() const { return before_; }

 private:
  UniqueFd fd_;
  sigset_t before_{};
};

class ExecChild {
 public:
  // Starts `command` (found in PATH) with the environment that we were started with and `more` of it. NotFound, or
  // PermissionDenied when it cannot be executed.
  static Result<ExecChild> Start(const std::vector<std::string>& command,
                                 const std::vector<std::pair<std::string, std::string>>& more, const sigset_t& mask);

  // How it ended, as a shell says it: its exit code, or 128 and the signal. Nothing while it runs. Afterwards its pid
  // is nobody's and Signal() does nothing.
  std::optional<int> ExitCode();
  void Signal(int signal) const;

 private:
  explicit ExecChild(pid_t pid) : pid_(pid) {}
  pid_t pid_;  // 0: reaped
};

}  // namespace lanyard
