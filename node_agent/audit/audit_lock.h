// One process at a time writes an audit log.
//
// Agents with data directories of their own may still name one audit.path; each would take the other's lines for
// somebody's meddling. The lock is an flock on <path>.lock, which stays when the log is rotated and is given back by
// the kernel when its holder dies. Readers, and lanyard audit verify, need no lock.
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class AuditLock {
 public:
  // For the log at `path`, whose directory is there and trusted. FailedPrecondition when another process has it.
  static Result<AuditLock> Acquire(const std::string& path);

 private:
  explicit AuditLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace lanyard
