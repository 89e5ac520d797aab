#include "node_agent/audit/audit_recovery.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>

#include "node_agent/audit/audit_scan.h"
#include "node_agent/base/log.h"

namespace lanyard {
namespace {

constexpr size_t kMaxIssued = 100'000;

AuditRecord Note(std::string action, std::string resource, std::string reason) {
  AuditRecord record{.kind = AuditKind::kAudit, .reason = std::move(reason)};
  record.action = std::move(action);
  record.resource = std::move(resource);
  return record;
}

// The last bytes of `file`, from `begin` on, in a file of their own.
Status CopyTail(const AuditFile& file, uint64_t begin, const std::string& to) {
  ASSIGN_OR_RETURN(AuditFile copy, AuditFile::Create(to));
  std::string buffer(64 * 1024, '\0');
  for (uint64_t at = begin; at < file.size();) {
    const ssize_t got = pread(file.fd()->get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, fmt::format("read {}", file.path()));
    if (got == 0) break;
    RETURN_IF_ERROR(copy.Append(std::string_view(buffer.data(), static_cast<size_t>(got)), AuditFsync::kLater));
    at += static_cast<uint64_t>(got);
  }
  return copy.Sync();
}

class Recovery {
 public:
  Recovery(const std::string& path, const std::optional<AuditHead>& stored, WallTime now)
      : path_(path), stored_(stored), now_(now) {}

  Result<AuditRecovery> Run() {
    ASSIGN_OR_RETURN(rotated_, RotatedAuditFiles(path_));
    RETURN_IF_ERROR(ReadRotated());
    struct stat info {};
    if (lstat(path_.c_str(), &info) == 0) {
      RETURN_IF_ERROR(ReadCurrent());
    } else if (errno == ENOENT) {
      RETURN_IF_ERROR(WithoutCurrent());
    } else {
      return ErrnoStatus(errno, fmt::format("look at audit log {}", path_));
    }
    if (!stored_ && found_.head.seq != 0) NoteNothingRemembered();
    found_.issued.assign(issued_.begin(), issued_.end());
    return std::move(found_);
  }

 private:
  // How the rotated files end, and whether they reach what was remembered. Older ones are only read for what was issued
  // when nothing was remembered.
  Status ReadRotated() {
    for (const RotatedAuditFile& file : rotated_) {
      if (stored_ && file.last_seq < stored_->seq) continue;
      const UniqueFd fd(open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
      if (!fd) return ErrnoStatus(errno, fmt::format("open {}", file.path));
      ASSIGN_OR_RETURN(const AuditScan scan, ScanAuditFile(fd.get(), file.path, stored_, Collect()));
      // Anchored once, each further file has to continue the one before.
      rotated_anchored_ =
          scan.problem.empty() &&
          (scan.anchored || (rotated_anchored_ && scan.first == AuditHead{rotated_end_.seq + 1, rotated_end_.hash}));
      rotated_end_ = scan.end;
    }
    if (rotated_end_.seq != 0 || rotated_.empty()) return OkStatus();
    Result<AuditFileEnds> ends = ReadAuditFileEnds(rotated_.back().path);
    if (ends.ok()) rotated_end_ = ends->last;
    return OkStatus();
  }

  Status ReadCurrent() {
    ASSIGN_OR_RETURN(AuditFile file, AuditFile::Open(path_));
    ASSIGN_OR_RETURN(const AuditScan scan, ScanAuditFile(file.fd()->get(), path_, stored_, Collect()));
    const bool has_lines = scan.end.seq != 0;
    const bool continues_rotated =
        !has_lines || (scan.first.seq == rotated_end_.seq + 1 && scan.first.hash == rotated_end_.hash);
    const bool reaches_stored = !stored_ || scan.anchored || (rotated_anchored_ && continues_rotated);
    const AuditHead end = has_lines ? scan.end : rotated_end_;
    if (!reaches_stored || (!scan.problem.empty() && !scan.only_last_line)) return SetAside(scan, reaches_stored, end);

    if (!scan.problem.empty()) RETURN_IF_ERROR(SetAsideTorn(file, scan));
    if (file.size() > scan.good_bytes)
      return Error(StatusCode::kAborted, "{} grew while it was read; another agent writes to it", path_);
    found_.head = end;
    found_.since_checkpoint = scan.since_checkpoint;
    found_.key_id = scan.key_id;
    found_.file = std::move(file);
    return OkStatus();
  }

  Status WithoutCurrent() {
    found_.head = rotated_end_;
    if (!stored_ || rotated_anchored_) {  // the first start, or the last one ended in the middle of a rotation
      if (found_.head.seq == 0) found_.notes.push_back(Note("begin", path_, "a new audit log begins"));
      return OkStatus();
    }
    found_.head = *stored_;
    found_.damage = fmt::format(
        "the audit log {} was missing at start, its last known line was seq {}; a new file continues from there. Find "
        "out "
        "who removed it; restore it as another file and check it with: lanyard audit verify FILE",
        path_, stored_->seq);
    found_.notes.push_back(Note("continue", path_,
                                fmt::format("the file was missing at start; its last known line was seq {}, hash {}",
                                            stored_->seq, stored_->hash)));
    return OkStatus();
  }

  // The first start was cut short, or the state is a new one: then the log alone has to be believed.
  void NoteNothingRemembered() {
    const std::string what = fmt::format(
        "the state database was missing or new at start: nothing remembers how far this log had come, so lines that "
        "were cut off at its end would not be noticed; it goes on after seq {}",
        found_.head.seq);
    LANYARD_LOG_WARN("audit log {}: {}", path_, what);
    found_.notes.push_back(Note("continue", path_, what));
  }

  Status SetAsideTorn(AuditFile& file, const AuditScan& scan) {
    const std::string aside = AsideName(path_, "torn", FormatAuditTime(now_));
    const uint64_t bytes = file.size() - scan.good_bytes;
    RETURN_IF_ERROR(Annotate(CopyTail(file, scan.good_bytes, aside), "set aside the torn last line of {}", path_));
    RETURN_IF_ERROR(file.Truncate(scan.good_bytes));
    LANYARD_LOG_WARN("audit log {}: its last line was torn ({} bytes, never acknowledged); set aside as {}", path_,
                     bytes, aside);
    found_.notes.push_back(
        Note("set-aside", aside,
             fmt::format("the last line was torn: {}; its {} bytes are in {}", scan.problem, bytes, aside)));
    return OkStatus();
  }

  Status SetAside(const AuditScan& scan, bool reaches_stored, const AuditHead& end) {
    std::string what = scan.problem;
    if (what.empty()) {
      what = end.seq < stored_->seq
                 ? fmt::format("it ends at seq {}, the last known line was seq {}", end.seq, stored_->seq)
                 : fmt::format("seq {} is not the line that was there before", stored_->seq);
    }
    // What is proven by what was remembered comes first; without that, the last lines that fit together.
    found_.head = !stored_            ? scan.last_run_end
                  : scan.anchored_end ? *scan.anchored_end
                  : reaches_stored    ? end
                                      : *stored_;
    if (found_.head.seq == 0) found_.head = rotated_end_;
    const std::string aside = AsideName(path_, "damaged", FormatAuditTime(now_));
    RETURN_IF_ERROR(Annotate(MoveAuditFile(path_, aside), "set aside damaged audit log"));
    found_.damage = fmt::format(
        "the audit log was damaged ({}) and is set aside as {}; a new file continues after seq {}. See what is wrong "
        "with: "
        "lanyard audit verify {}",
        what, aside, found_.head.seq, aside);
    found_.notes.push_back(
        Note("set-aside", aside, fmt::format("the file was damaged: {}; it is kept as {}", what, aside)));
    return OkStatus();
  }

  std::function<void(IssuedSerial)> Collect() {
    return [this](IssuedSerial issued) {
      if (issued.not_after <= now_) return;
      if (issued_.size() == kMaxIssued) issued_.pop_front();
      issued_.push_back(std::move(issued));
    };
  }

  const std::string& path_;
  const std::optional<AuditHead>& stored_;
  const WallTime now_;
  std::vector<RotatedAuditFile> rotated_;
  AuditHead rotated_end_;          // the last line of the newest rotated file
  bool rotated_anchored_ = false;  // what was remembered is in the rotated files, and they are whole from there on
  std::deque<IssuedSerial> issued_;
  AuditRecovery found_;
};

}  // namespace

Result<AuditRecovery> RecoverAuditLog(const std::string& path, const std::optional<AuditHead>& stored, WallTime now) {
  return Recovery(path, stored, now).Run();
}

}  // namespace lanyard
