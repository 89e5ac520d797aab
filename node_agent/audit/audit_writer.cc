#include "node_agent/audit/audit_writer.h"

#include <algorithm>
#include <utility>

#include "node_agent/audit/audit_line.h"
#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"

namespace lanyard {

void AddToReport(HealthReport& report, HealthLevel level, const std::string& text) {
  if (text.empty()) return;
  report.level = std::max(report.level, level);
  report.text += (report.text.empty() ? "" : ". ") + text;
}

Result<std::unique_ptr<AuditWriter>> AuditWriter::Open(AuditOptions options, WallTime now) {
  if (options.stored_head && options.stored_head->seq == 0) options.stored_head.reset();
  const std::string directory = ParentDirectory(options.path);
  RETURN_IF_ERROR(Annotate(MakeDirectory(directory, 0700), "audit log"));
  RETURN_IF_ERROR(Annotate(CheckTrustedDirectory(directory), "audit log"));
  ASSIGN_OR_RETURN(AuditLock lock, AuditLock::Acquire(options.path));
  ASSIGN_OR_RETURN(AuditKey key, AuditKey::LoadOrMake(options.key_path));
  ASSIGN_OR_RETURN(AuditRecovery found,
                   RecoverAuditLog(options.path, options.stored_head, now,
                                   [&key](const AuditCheckpoint& checkpoint) { return key.Check(checkpoint).ok(); }));
  std::unique_ptr<AuditWriter> writer(
      new AuditWriter(std::move(options), std::move(lock), std::move(key), std::move(found)));
  writer->RestoreReserve();
  RETURN_IF_ERROR(writer->TryWrite({}, now, CheckpointWish::kWhenDue));
  return writer;
}

AuditWriter::AuditWriter(AuditOptions options, AuditLock lock, AuditKey key, AuditRecovery found)
    : options_(std::move(options)),
      lock_(std::move(lock)),
      key_(std::move(key)),
      file_(std::move(found.file)),
      head_(found.head),
      durable_(found.head),
      since_checkpoint_(found.since_checkpoint),
      notes_(std::move(found.notes)),
      issued_(std::move(found.issued)),
      reserve_(options_.path + ".reserve", options_.reserve_bytes),
      copy_(options_.checkpoints_to),
      damage_(std::move(found.damage)) {
  if (head_.seq == 0) head_.hash = durable_.hash = NoAuditHash();
  if (!found.key_id.empty() && found.key_id != key_.id()) {
    const std::string what = fmt::format("the audit key is another one ({}…) than that of the checkpoints so far ({}…)",
                                         key_.id().substr(0, 16), found.key_id.substr(0, 16));
    Note("key", options_.key_path, what);
    AddDamage(what + "; was it lost or replaced? Keep the old public key for checking them");
  }
}

void AuditWriter::Note(std::string action, std::string resource, std::string reason) {
  AuditRecord record{.kind = AuditKind::kAudit, .reason = std::move(reason)};
  record.action = std::move(action);
  record.resource = std::move(resource);
  notes_.push_back(std::move(record));
}

// What somebody has to look at, until the next start. Of a great deal the beginning is enough.
void AuditWriter::AddDamage(const std::string& text) {
  constexpr size_t kEnough = 2048;
  if (damage_.size() < kEnough) damage_ += (damage_.empty() ? "" : ". ") + text;
}

Status AuditWriter::Write(std::span<AuditEntry> entries, WallTime now, CheckpointWish wish) {
  if (reserve_spent_) RestoreReserve();
  std::vector<AuditEntry*> batch;
  bool any_reserve = false;
  for (AuditEntry& entry : entries) {
    // What is free while the reserve is given back was kept for others.
    if (reserve_spent_ && entry.space == AuditSpace::kNormal) {
      entry.result = Error(StatusCode::kResourceExhausted, "write audit log {}: {}", options_.path, reserve_problem_);
      continue;
    }
    any_reserve = any_reserve || entry.space == AuditSpace::kReserve;
    batch.push_back(&entry);
  }
  const bool all_refused = batch.empty() && !entries.empty();
  Status status = all_refused ? entries.front().result : TryWrite(batch, now, wish);
  if (status.code() == StatusCode::kResourceExhausted && any_reserve && reserve_.held()) {
    const Status released = reserve_.Release();
    reserve_spent_ = true;
    reserve_problem_ = released.ok()
                           ? "the disk is full; only what may use the reserve is recorded until space is freed"
                           : std::string(Message(released));
    LANYARD_LOG_ERROR("audit log {}: {}", options_.path, reserve_problem_);
    std::erase_if(batch, [&](AuditEntry* entry) {
      if (entry->space == AuditSpace::kNormal) entry->result = status;
      return entry->space == AuditSpace::kNormal;
    });
    status = TryWrite(batch, now, wish);
  }
  for (AuditEntry* entry : batch) entry->result = status;
  write_problem_ = status.ok() ? "" : std::string(Message(status));
  if (!status.ok()) ++stats_.failed_batches;
  for (const AuditEntry& entry : entries) {
    if (!entry.result.ok() && !entry.done) CountLost(1, entry.time);
  }
  return status;
}

void AuditWriter::CountLost(uint64_t records, WallTime since) {
  if (lost_unnoted_ == 0) lost_since_ = since;
  lost_unnoted_ += records;
  stats_.lost += records;
}

Status AuditWriter::TryWrite(std::span<AuditEntry* const> entries, WallTime now, CheckpointWish wish) {
  RETURN_IF_ERROR(Prepare(now));
  return WriteLines(entries, now, wish);
}

Status AuditWriter::WriteLines(std::span<AuditEntry* const> entries, WallTime now, CheckpointWish wish) {
  std::string text;
  AuditHead head = head_;
  uint64_t since = since_checkpoint_, lines = 0, checkpoints = 0;
  std::vector<std::string> copies;
  Status failed;
  const auto add = [&](const std::string& line) {
    Result<std::string> hash = HashAuditLine(line);
    if (!hash.ok()) failed = hash.status();
    head = {head.seq + 1, hash.ok() ? *std::move(hash) : ""};
    text += line;
    text += '\n';
    ++lines;
    ++since;
  };
  const auto sign = [&] {
    const Result<AuditCheckpoint> checkpoint = key_.Sign(head);
    if (!checkpoint.ok()) {
      failed = checkpoint.status();
      return;
    }
    copies.push_back(FormatCheckpointLine(*checkpoint, {head.seq + 1, now, options_.environment, head.hash}));
    add(copies.back());
    since = 0;
    ++checkpoints;
  };
  const auto write = [&](const AuditRecord& record, WallTime time) {
    add(FormatAuditLine(record, {head.seq + 1, time, options_.environment, head.hash}));
    if (since >= options_.checkpoint_lines) sign();
  };
  for (const AuditRecord& note : notes_) write(note, now);
  if (lost_unnoted_ > 0) {
    AuditRecord lost{.kind = AuditKind::kAudit,
                     .reason = fmt::format("{} records could not be written since {} and are lost", lost_unnoted_,
                                           FormatAuditTime(lost_since_))};
    lost.action = "lost";
    lost.count = lost_unnoted_;
    write(lost, now);
  }
  for (const AuditEntry* entry : entries) write(entry->record, entry->time);
  // Nobody has anything to say, and only a line can show that writing works again. With the reserve spent it does not.
  if (lines == 0 && !write_problem_.empty() && !reserve_spent_) {
    write({.kind = AuditKind::kAudit, .reason = "the log can be written again", .action = "resume"}, now);
  }
  if (wish == CheckpointWish::kNow && since > 0) sign();
  if (!failed.ok()) return Annotate(failed, "write audit log {}", options_.path);
  if (lines == 0) return OkStatus();

  // A line that is copied elsewhere, or because of which files are removed, must not be lost once that is done. What
  // nobody waits for (the end of a stream) has a second: every fetch would wait for the sync of the one before.
  const bool has_consequences = checkpoints > 0 || !to_remove_.empty();
  const bool hurries = std::any_of(entries.begin(), entries.end(), [this](const AuditEntry* entry) {
    return entry->done && WaitsForTheDisk(options_.sync, entry->record.kind);
  });
  const AuditFsync fsync = hurries || has_consequences ? AuditFsync::kNow : AuditFsync::kLater;
  RETURN_IF_ERROR(file_->Append(text, fsync));
  head_ = std::move(head);
  since_checkpoint_ = since;
  unsynced_ = fsync == AuditFsync::kLater;
  if (!unsynced_) {
    durable_ = head_;
    sync_problem_.clear();
  }
  notes_.clear();
  lost_unnoted_ = 0;
  stats_.records += lines;
  stats_.checkpoints += checkpoints;
  stats_.last_write = now;
  if (checkpoints > 0) stats_.last_checkpoint = now;
  RemoveNoted();
  for (std::string& line : copies) copy_.Send(std::move(line));
  return OkStatus();
}

Status AuditWriter::Sync() {
  if (!unsynced_ || !file_) return OkStatus();
  Status synced = file_->Sync();
  unsynced_ = !synced.ok();
  sync_problem_ = synced.ok() ? "" : fmt::format("{}; what is written may not survive a power cut", Message(synced));
  if (synced.ok()) durable_ = head_;
  return synced;
}

Status AuditWriter::Seal() {
  constexpr std::chrono::milliseconds kForTheCopy{1000};
  RETURN_IF_ERROR(Sync());
  copy_.Flush(kForTheCopy);
  return OkStatus();
}

void AuditWriter::RestoreReserve() {
  const Status made = reserve_spent_ ? reserve_.Restore() : reserve_.Make();
  reserve_spent_ = made.code() == StatusCode::kResourceExhausted;
  reserve_problem_ =
      made.ok() ? ""
                : fmt::format("{}{}; free space on its file system",
                              reserve_spent_ ? "the disk is full, only what may use the reserve is recorded: " : "",
                              Message(made));
}

void AuditWriter::SetOptions(AuditOptions options) {
  options.path = options_.path;
  options.key_path = options_.key_path;
  options.stored_head = options_.stored_head;
  copy_.SetTarget(options.checkpoints_to);
  options.reserve_bytes = options_.reserve_bytes;
  options_ = std::move(options);
}

std::vector<AuditExtent> AuditWriter::TakeExtents() {
  std::vector<AuditExtent> extents = std::exchange(left_, {});
  if (file_) extents.push_back(file_->extent());
  return extents;
}

AuditStats AuditWriter::stats() const {
  AuditStats stats = stats_;
  stats.bytes = file_ ? file_->size() : 0;
  return stats;
}

HealthReport AuditWriter::health() const {
  HealthReport report;
  const auto add = [&report](HealthLevel level, const std::string& text) { AddToReport(report, level, text); };
  add(HealthLevel::kBroken, write_problem_);
  // Spent, what is normal is refused, even though the last batch may have been one that was not.
  if (write_problem_.empty()) add(reserve_spent_ ? HealthLevel::kBroken : HealthLevel::kDegraded, reserve_problem_);
  add(HealthLevel::kDegraded, damage_);
  add(HealthLevel::kDegraded, sync_problem_);
  add(HealthLevel::kDegraded, rotate_problem_);
  if (lost_unnoted_ > 0) add(HealthLevel::kDegraded, fmt::format("{} audit records are lost", lost_unnoted_));
  return report;
}

}  // namespace lanyard
