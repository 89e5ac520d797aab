// SHA-256 of the program that a process runs, read through /proc/PID/exe, off the loop, and remembered.
//
// The bytes are those that the kernel executes only if the kernel itself serves them. A FUSE file system, and an
// overlay over one, can show us other bytes than it showed to exec: such a file has a hash only when the mount was made
// by root of the node agent's own user namespace. Hashes are kept by device, inode, size, mtime, ctime and mount, for
// file systems on a local block device only, and not for a file that changed in the last two seconds: within one tick
// of the kernel's file clock a file can change without a trace.
//
// Who asks for a file that never answers blocks only its own uid (blocking_jobs.h): asks are joined within a uid, not
// across.
//
// Lifetime: `jobs` outlives it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "attestors/blocking_jobs.h"
#include "attestors/subject.h"
#include "node_agent/base/mounts.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct HashOptions {
  size_t cache_entries = 4096;
  uint64_t max_file_bytes = uint64_t{1} << 30;  // a larger executable is an error
};

// 64 lower-case hexadecimal digits; no value when the bytes may not be those that run.
using ExecutableHash = std::optional<std::string>;

class ExecutableHasher {
 public:
  struct Ticket {
    virtual ~Ticket() = default;
  };  // destroy it to lose interest; `done` then never runs
  using Done = absl::AnyInvocable<void(Result<ExecutableHash>) &&>;

  explicit ExecutableHasher(BlockingJobs& jobs, HashOptions options = {});
  ~ExecutableHasher();

  // From memory, without touching the file; nullptr when it has to be hashed. Valid until the next call of Hash.
  const std::string* Cached(const FileVersion& file);

  // Hashes in the pool, in the turn of `uid`; `done` runs on the loop, never before Hash has returned. Errors:
  // PermissionDenied (not allowed to open it), Unavailable (the process executes something else by now, or the file
  // changed while being read), ResourceExhausted (too large).
  [[nodiscard]] std::unique_ptr<Ticket> Hash(std::shared_ptr<const ProcDir> process, const Executable& executable,
                                             uid_t uid, std::shared_ptr<const MountTable> mounts, Done done);

  // How many files have been read so far.
  uint64_t files_hashed() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
