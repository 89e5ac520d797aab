// One process at a time uses a data directory.
//
// Two agents on one directory would each rotate the other's roots, and `lanyard ca init` beside a running agent would
// too. The lock is an flock on <data_dir>/lock: the kernel gives it back when its holder dies, however it dies, so no
// stale lock is ever left. Functions that change the directory take the lock as an argument, as proof.
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class DataDirLock {
 public:
  // Makes the directory (0700) if it is absent. FailedPrecondition names the process that holds the lock, or who else
  // may change the directory.
  static Result<DataDirLock> Acquire(const std::string& directory);

  const std::string& directory() const { return directory_; }

 private:
  DataDirLock(std::string directory, UniqueFd fd) : directory_(std::move(directory)), fd_(std::move(fd)) {}

  std::string directory_;
  UniqueFd fd_;
};

}  // namespace lanyard
