// The tamper-evident record of everything that was decided: JSON lines in a file, chained by hash, signed at intervals.
//
// Every line carries the SHA-256 of the line before it, across files and restarts, so that a line that was changed,
// removed or put in is found. Every `checkpoint_lines` lines or `checkpoint_interval` (when there is anything new) a
// checkpoint line carries a signature by the audit key, so that the chain cannot be made anew by somebody who has only
// the file. The newest head goes to whoever listens (OnHead), who keeps it elsewhere: with it a torn last line is told
// from lines that were cut off.
//
// A writer thread of its own writes what waits as one batch. An answer of OK means that the line is in the file and, as
// the SyncPolicy has it, on the disk. A batch that cannot be written wholly is taken back, every record in it is
// answered with the error, and the chain goes on from the last good line. The file is looked at before every batch:
// when it was moved, removed or replaced, a new one is begun that continues the chain, and says so.
//
// Lifetime: borrows loop and clock. The destructor writes what is queued and joins the thread; answers that were not
// delivered by then are dropped. Thread: loop; callbacks run on the loop, never inside the call.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/audit/audit_record.h"
#include "node_agent/audit/sync_policy.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/health.h"
#include "node_agent/base/histogram.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

struct AuditOptions {
  std::string path;         // of the file that is written to; rotated ones lie beside it
  std::string key_path;     // PEM of the audit key, 0600; made when absent. The public key lies beside it as <stem>.pub
  std::string environment;  // "production", …: in every record
  std::string checkpoints_to;  // a file that gets a copy of each checkpoint line, or "syslog"; empty: none
  SyncPolicy sync = SyncPolicy::kIssues;
  uint64_t rotate_bytes = 64 << 20;
  unsigned keep_files = 32;  // rotated files that stay; what is removed is on record. 0: all
  uint64_t checkpoint_lines = 1000;
  std::chrono::seconds checkpoint_interval{60};
  uint64_t reserve_bytes = 1 << 20;      // space kept for records that may use the reserve
  std::optional<AuditHead> stored_head;  // what was kept of OnHead in an earlier run
};

// May this record use the space that is kept in reserve when the disk is full?
enum class AuditSpace { kNormal, kReserve };

struct AuditStats {
  uint64_t records = 0;  // written, checkpoints included
  uint64_t lost = 0;     // records that nobody waited for and that could not be written
  uint64_t failed_batches = 0;
  uint64_t checkpoints = 0;
  size_t waiting = 0;  // records not yet answered
  std::optional<WallTime> last_write, last_checkpoint;
  uint64_t bytes = 0;  // of the current file
};

class AuditLog {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;
  using HeadListener = absl::AnyInvocable<void(const AuditHead&)>;
  // One line without its newline, in order.
  using LineListener = absl::AnyInvocable<void(std::string_view line)>;
  struct Tail {
    virtual ~Tail() = default;  // destroy it to end it
  };

  // Opens or makes the file and its key; blocks, for start-up. A torn last line is set aside in a file of its own. A
  // file that is damaged before that, or ends before the stored head, is set aside whole and a new one continues the
  // chain; a stored head that is older than all that is there is told (audit_recovery.h). Both are named in health()
  // until the next start, and on record. An error only when nothing can be written, the key is unusable (it is never
  // replaced), or another process has the log at this path open (FailedPrecondition).
  static Result<std::unique_ptr<AuditLog>> Open(AuditOptions options, EventLoop& loop, Clock& clock);
  virtual ~AuditLog() = default;

  // `done` runs when the record is written as the policy says, or could not be. Without `done` a failure is counted,
  // and the number of lost records is put on record when there is room again.
  virtual void Append(AuditRecord record, Done done = nullptr, AuditSpace space = AuditSpace::kNormal) = 0;

  // Calls `done` after everything before is written, with a last checkpoint whose copy gets a moment. For a clean stop.
  virtual void Seal(Done done) = 0;

  // Serials of `issue` lines that lie after the stored head (or anywhere, when there was none), oldest first; expired
  // ones are left out. For a state store that was behind when the agent ended: record them again.
  virtual const std::vector<IssuedSerial>& issued_after_stored_head() const = 0;

  // Called with the newest line that is on the disk, after each batch (after one that need not be there yet, within
  // about a second). One listener.
  virtual void OnHead(HeadListener listener) = 0;

  // Calls `line` with each of the last `lines` lines of the current file, then with every new one until the Tail is
  // destroyed; `caught_up` once, after the old ones, with an error when they cannot be read. At most 10,000 old lines.
  [[nodiscard]] virtual std::unique_ptr<Tail> Follow(size_t lines, LineListener line, Done caught_up) = 0;

  // What may change while it runs: rotation, retention, checkpoints, sync. Paths and key stay as they are.
  virtual void SetOptions(AuditOptions options) = 0;

  virtual AuditStats stats() const = 0;
  // How long a write takes, in seconds: a batch with the fsync that it waits for, or an fsync for what was left.
  virtual const Histogram& write_seconds() const = 0;
  virtual HealthReport health() const = 0;
};

}  // namespace lanyard
