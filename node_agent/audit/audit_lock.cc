#include "node_agent/audit/audit_lock.h"

#include <utility>

#include "node_agent/base/file_lock.h"

namespace lanyard {

Result<AuditLock> AuditLock::Acquire(const std::string& path) {
  Result<FileLock> lock = TryLockFile(path + ".lock");
  if (!lock.ok()) return Annotate(lock.status(), "lock audit log {}", path);
  if (!lock->taken) {
    return Error(StatusCode::kFailedPrecondition,
                 "another lanyard writes to {}; stop it, or give each agent an audit.path of its own", path);
  }
  return AuditLock(std::move(lock->fd));
}

}  // namespace lanyard
