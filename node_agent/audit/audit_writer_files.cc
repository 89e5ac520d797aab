#include <unistd.h>

#include <algorithm>
#include <utility>

#include "node_agent/audit/audit_line.h"
#include "node_agent/audit/audit_scan.h"
#include "node_agent/audit/audit_writer.h"
#include "node_agent/base/file.h"
#include "node_agent/base/log.h"

namespace lanyard {

// The file is ours and there is one.
Status AuditWriter::Prepare(WallTime now) {
  if (file_) {
    ASSIGN_OR_RETURN(const AuditFile::Fate fate, file_->Look());
    if (fate != AuditFile::Fate::kOurs) return LeaveFile(fate, now);
    set_aside_.reset();
    if (file_->size() < std::max(options_.rotate_bytes, rotate_again_at_)) return OkStatus();
    const Status rotated = Rotate(now);
    if (!rotated.ok()) {
      rotate_again_at_ = file_->size() + options_.rotate_bytes / 8;  // each try signs
      if (rotate_problem_.empty()) LANYARD_LOG_ERROR("rotate the audit log: {}", Message(rotated));
      rotate_problem_ = fmt::format("the audit log cannot be rotated: {}", Message(rotated));
    }
    if (file_) return OkStatus();  // a file that has become too long is better than none
  }
  return BeginFile(now);
}

Status AuditWriter::BeginFile(WallTime now) {
  Result<AuditFile> fresh = AuditFile::Create(options_.path);
  if (fresh.status().code() == StatusCode::kAlreadyExists) {
    const std::string aside = AsideName(options_.path, "foreign", FormatAuditTime(now));
    RETURN_IF_ERROR(MoveAuditFile(options_.path, aside));
    Note("set-aside", aside,
         fmt::format("a file that is not ours was in the place of a new one; it is kept as {}", aside));
    fresh = AuditFile::Create(options_.path);
  }
  if (!fresh.ok()) return fresh.status();
  if (file_) left_.push_back(file_->extent());
  file_ = *std::move(fresh);
  rotate_again_at_ = 0;
  return OkStatus();
}

// Somebody has done something to the file. A new one continues the chain, and says so.
Status AuditWriter::LeaveFile(AuditFile::Fate fate, WallTime now) {
  if (!Sync().ok()) AddDamage(sync_problem_);  // there is no later for what is in this file
  if (fate == AuditFile::Fate::kChanged) {
    const std::string aside = AsideName(options_.path, "damaged", FormatAuditTime(now));
    RETURN_IF_ERROR(MoveAuditFile(options_.path, aside));
    set_aside_ = SetAside{
        aside, fmt::format("somebody appended to the file or cut it while it was written; it is kept as {}", aside)};
  } else if (fate == AuditFile::Fate::kReplaced) {
    const std::string aside = AsideName(options_.path, "foreign", FormatAuditTime(now));
    const std::string what = Loss().what;
    RETURN_IF_ERROR(MoveAuditFile(options_.path, aside));
    set_aside_ = SetAside{aside, fmt::format("{}; what was put in its place is kept as {}", what, aside)};
  }
  const SetAside loss = Loss();
  // Only now: should the directory come back with the file in it, nothing has happened.
  RETURN_IF_ERROR(BeginFile(now));
  set_aside_.reset();
  const std::string what = fmt::format("{}; its last line was seq {}, hash {}", loss.what, head_.seq, head_.hash);
  LANYARD_LOG_ERROR("audit log {}: {}", options_.path, what);
  AddDamage(fmt::format("the audit log {}: {}. Leave the file to lanyard: it rotates by itself", options_.path, what));
  Note("set-aside", loss.resource, what);
  return OkStatus();
}

// What has become of the file. What we have renamed since is gone from its place as well.
AuditWriter::SetAside AuditWriter::Loss() const {
  if (set_aside_) return *set_aside_;
  const std::string where = file_->WhereNow();
  if (where.empty()) return {options_.path, "somebody removed the file while it was written"};
  return {options_.path, fmt::format("somebody moved the file while it was written; it is now {}", where)};
}

// The old file ends in a checkpoint and gets its name. Cut short at any instant, the next start finds either the file
// as it was, or no file and a rotated one to continue from.
Status AuditWriter::Rotate(WallTime now) {
  if (since_checkpoint_ > 0) RETURN_IF_ERROR(WriteLines({}, now, CheckpointWish::kNow));
  RETURN_IF_ERROR(Sync());
  const std::string rotated = RotatedName(options_.path, head_.seq);
  RETURN_IF_ERROR(MoveAuditFile(options_.path, rotated));
  left_.push_back(file_->extent());
  file_.reset();
  rotate_problem_.clear();
  Note("rotate", rotated, fmt::format("continues {}, which ends with seq {}", rotated, head_.seq));
  NoteRemovals();
  return OkStatus();
}

// What is removed is on record first.
void AuditWriter::NoteRemovals() {
  if (options_.keep_files == 0) return;
  const Result<std::vector<RotatedAuditFile>> files = RotatedAuditFiles(options_.path);
  if (!files.ok()) {
    rotate_problem_ = fmt::format("old files of the audit log are not removed: {}", Message(files.status()));
    return;
  }
  for (size_t i = 0; i + options_.keep_files < files->size(); ++i) {
    const std::string& path = (*files)[i].path;
    const Result<AuditFileEnds> ends = ReadAuditFileEnds(path);
    Note("remove", path,
         ends.ok() ? fmt::format("removes a rotated file: seq {} to {}, last hash {}", ends->first_seq, ends->last.seq,
                                 ends->last.hash)
                   : fmt::format("removes a rotated file that cannot be read as one: {}", Message(ends.status())));
    to_remove_.push_back(path);
  }
}

void AuditWriter::RemoveNoted() {
  if (to_remove_.empty()) return;
  for (const std::string& path : to_remove_) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      rotate_problem_ = fmt::format("{}", Message(ErrnoStatus(errno, fmt::format("remove {}", path))));
    }
  }
  to_remove_.clear();
  IGNORE_ERROR(SyncDirectory(ParentDirectory(options_.path)), "a file that comes back is removed by the next rotation");
}

}  // namespace lanyard
