// An flock on a file of its own, for what one process at a time may use.
//
// The kernel gives it back when its holder dies, however it dies, so no stale lock is ever left.
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct FileLock {
  UniqueFd fd;         // the lock lasts as long as it is open
  bool taken = false;  // false: another process has it, and `fd` is open to read what that wrote
};

// Makes the file (0600) when it is absent. Unavailable when somebody replaces it all the time.
Result<FileLock> TryLockFile(const std::string& path);

}  // namespace lanyard
