// A copy of each checkpoint somewhere else: who rewrites the log has to rewrite that, too.
//
// Thread: any, one at a time; blocks on the disk, never on a syslog daemon. Failure: kept and tried again with the next
// one; of very many waiting the oldest are given up, later ones prove more.
#pragma once

#include <deque>
#include <string>

#include "node_agent/base/status.h"

namespace lanyard {

class CheckpointCopy {
 public:
  // A file that is appended to (0600 when it is made here), "syslog" (facility authpriv), or empty: nowhere.
  explicit CheckpointCopy(std::string to) : to_(std::move(to)) {}

  // `line` without its newline.
  void Send(std::string line);

  // Why the newest ones could not be copied; empty: they are.
  const std::string& problem() const { return problem_; }

 private:
  Status SendAll();
  Status AppendAll() const;

  std::string to_;
  std::deque<std::string> waiting_;
  std::string problem_;
};

}  // namespace lanyard
