// A copy of each checkpoint somewhere else: who rewrites the log has to rewrite that, too.
//
// A thread of its own copies, from the first checkpoint on: the other place may be a file of a server that does not
// answer, and no record waits for that. A thread that hangs there is left behind when the target changes or this is
// destroyed; it ends when the kernel lets go of it, and touches nothing until then but what it shares with this.
//
// Thread: any. Failure: kept and tried again with the next one; of very many waiting the oldest are given up, later
// ones prove more.
#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace lanyard {

class CheckpointCopy {
 public:
  // `to`: a file that is appended to (0600 when it is made here), "syslog" (facility authpriv), or empty: nowhere. One
  // that has not answered for longer than `patience` is told as a problem.
  explicit CheckpointCopy(std::string to, std::chrono::seconds patience = std::chrono::seconds(10));
  CheckpointCopy(const CheckpointCopy&) = delete;
  CheckpointCopy& operator=(const CheckpointCopy&) = delete;
  ~CheckpointCopy();

  // `line` without its newline. Never waits for the target.
  void Send(std::string line);

  // What waits goes there, too.
  void SetTarget(std::string to);

  // Waits until all that was sent has been tried, but not for longer than `limit`.
  void Flush(std::chrono::milliseconds limit);

  // Why the newest ones could not be copied; empty: they are.
  std::string problem() const;

 private:
  struct State;

  const std::shared_ptr<State> state_;
  const std::chrono::seconds patience_;
};

}  // namespace lanyard
