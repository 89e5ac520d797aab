// The side of the audit log that touches the disk: batches, rotation, checkpoints, the reserve.
//
// Everything here happens on the log's writer thread, after Open() at start-up. It never reads a clock: records come
// with the time at which they were made, and what the log itself has to say gets the time of its batch.
//
// Failure: a batch that cannot be written is taken back and each of its records gets the error. What the log had to say
// about itself (notes, lost records) is kept until it is written.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "node_agent/audit/audit_file.h"
#include "node_agent/audit/audit_key.h"
#include "node_agent/audit/audit_lock.h"
#include "node_agent/audit/audit_log.h"
#include "node_agent/audit/audit_recovery.h"
#include "node_agent/audit/checkpoint_copy.h"
#include "node_agent/base/space_reserve.h"

namespace lanyard {

// A record on its way.
struct AuditEntry {
  AuditRecord record;
  WallTime time;
  AuditSpace space = AuditSpace::kNormal;
  AuditLog::Done done;  // for the loop; here only whether there is one matters
  Status result;        // what has become of it
};

enum class CheckpointWish { kWhenDue, kNow };

// Adds a finding, if there is one: `text` is not empty.
void AddToReport(HealthReport& report, HealthLevel level, const std::string& text);

class AuditWriter {
 public:
  static Result<std::unique_ptr<AuditWriter>> Open(AuditOptions options, WallTime now);

  // Writes the records in order and gives each its result. kNow signs what is there even if there is nothing to write.
  // The status is that of the batch.
  Status Write(std::span<AuditEntry> entries, WallTime now, CheckpointWish wish);
  // Puts on the disk what was left for later.
  Status Sync();
  // The same for a clean stop: copies of checkpoints get a moment to arrive, too.
  Status Seal();
  bool unsynced() const { return unsynced_; }

  // Records that were refused before they came here, and that nobody waited for.
  void CountLost(uint64_t records, WallTime since);
  void SetOptions(AuditOptions options);

  const AuditHead& durable_head() const { return durable_; }
  // What was written, file by file, since the last call: those that were left, then the current one.
  std::vector<AuditExtent> TakeExtents();
  AuditStats stats() const;
  HealthReport health() const;  // without the copies
  // Thread: any.
  const CheckpointCopy& copies() const { return copy_; }
  std::vector<IssuedSerial> TakeIssued() { return std::move(issued_); }

 private:
  AuditWriter(AuditOptions options, AuditLock lock, AuditKey key, AuditRecovery found);

  // What we have renamed since others did something to it, or put something in its place.
  struct SetAside {
    std::string resource, what;
  };

  Status TryWrite(std::span<AuditEntry* const> entries, WallTime now, CheckpointWish wish);
  // One file after the other (audit_writer_files.cc).
  Status Prepare(WallTime now);
  Status LeaveFile(AuditFile::Fate fate, WallTime now);
  SetAside Loss() const;
  Status BeginFile(WallTime now);
  Status Rotate(WallTime now);
  void NoteRemovals();
  void RemoveNoted();
  // What is in them.
  Status WriteLines(std::span<AuditEntry* const> entries, WallTime now, CheckpointWish wish);
  void RestoreReserve();
  void AddDamage(const std::string& text);
  void Note(std::string action, std::string resource, std::string reason);

  AuditOptions options_;
  AuditLock lock_;
  AuditKey key_;
  std::optional<AuditFile> file_;
  std::vector<AuditExtent> left_;      // files that nothing is written to any more
  std::optional<SetAside> set_aside_;  // what is on no record yet, for want of a file
  uint64_t rotate_again_at_ = 0;       // the size at which to try it, after a failure
  AuditHead head_, durable_;
  uint64_t since_checkpoint_;
  bool unsynced_ = false;
  std::vector<AuditRecord> notes_;      // to be written before anything else
  std::vector<std::string> to_remove_;  // rotated files whose removal is among the notes
  std::vector<IssuedSerial> issued_;
  SpaceReserve reserve_;
  bool reserve_spent_ = false;  // given back for want of space, and not taken again yet
  CheckpointCopy copy_;
  AuditStats stats_;
  uint64_t lost_unnoted_ = 0;  // records lost and not yet on record
  WallTime lost_since_;
  // For health().
  std::string damage_;  // found at start or done by others since; until the next start
  std::string write_problem_, sync_problem_, rotate_problem_, reserve_problem_;
};

}  // namespace lanyard
