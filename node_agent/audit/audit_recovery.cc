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
  Recovery(const std::string& path, const std::optional<AuditHead>& stored, WallTime now, CheckpointTest is_ours)
      : path_(path), stored_(stored), now_(now), is_ours_(std::move(is_ours)) {}

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
      ASSIGN_OR_RETURN(const AuditScan scan, ScanAuditFile(fd.get(), file.path, stored_, is_ours_, Collect()));
      const bool good = scan.problem.empty() && scan.end.seq != 0;
      const bool continues = good && Continues(scan, rotated_end_);
      // Anchored once, each further file has to continue the one before.
      rotated_anchored_ = good && (scan.anchored || (rotated_anchored_ && continues));
      unbroken_ = unbroken_ && good && (chain_begin_.seq == 0 || continues);
      if (chain_begin_.seq == 0) chain_begin_ = scan.first;
      TrustWhatIsIn(scan);
      signed_seq_ = rotated_anchored_ ? std::max(signed_seq_, scan.signed_seq) : 0;
      rotated_end_ = scan.end;
    }
    if (rotated_end_.seq != 0 || rotated_.empty()) return OkStatus();
    Result<AuditFileEnds> ends = ReadAuditFileEnds(rotated_.back().path);
    if (ends.ok()) rotated_end_ = ends->last;
    return OkStatus();
  }

  Status ReadCurrent() {
    ASSIGN_OR_RETURN(AuditFile file, AuditFile::Open(path_));
    ASSIGN_OR_RETURN(const AuditScan scan, ScanAuditFile(file.fd()->get(), path_, stored_, is_ours_, Collect()));
    const bool has_lines = scan.end.seq != 0;
    if (!has_lines) RETURN_IF_ERROR(NameWhatWasSetAsideLast());
    const bool continues_rotated = !has_lines || Continues(scan, rotated_end_);
    const AuditHead end = has_lines ? scan.end : rotated_end_;
    const bool ends_before_others = has_lines && end.seq < trusted_.seq;  // an old copy, and newer ones are rotated
    TrustWhatIsIn(scan);
    if (chain_begin_.seq == 0) {
      chain_begin_ = scan.first;
    } else {
      unbroken_ = unbroken_ && continues_rotated;
    }
    const bool reaches_stored = !stored_ || scan.anchored || (rotated_anchored_ && continues_rotated);
    signed_seq_ = std::max(rotated_anchored_ && continues_rotated ? signed_seq_ : 0, scan.signed_seq);
    const bool whole = scan.problem.empty() || scan.only_last_line;
    const bool stale = whole && !reaches_stored && StateIsOlderThanAll(end);
    if (!whole || ends_before_others || !(reaches_stored || stale)) return SetAside(scan, end);

    if (!scan.problem.empty()) RETURN_IF_ERROR(SetAsideTorn(file, scan));
    if (file.size() > scan.good_bytes)
      return Error(StatusCode::kAborted, "{} grew while it was read; another agent writes to it", path_);
    found_.head = has_lines ? end : Later(end, trusted_);
    found_.since_checkpoint = scan.since_checkpoint;
    found_.key_id = scan.key_id;
    found_.file = std::move(file);
    if (stale) {
      NoteStaleState();
    } else {
      NoteFurtherLines();
    }
    return OkStatus();
  }

  Status WithoutCurrent() {
    RETURN_IF_ERROR(NameWhatWasSetAsideLast());
    found_.head = Later(rotated_end_, trusted_);
    if (!stored_ || rotated_anchored_) {  // the first start, or the last one ended in the middle of a rotation
      if (found_.head.seq == 0) found_.notes.push_back(Note("begin", path_, "a new audit log begins"));
      NoteFurtherLines();
      return OkStatus();
    }
    if (StateIsOlderThanAll(rotated_end_)) NoteStaleState();
    found_.head = Later(*stored_, trusted_);
    AddDamage(fmt::format(
        "the audit log {} was missing at start, its last known line was seq {}; a new file continues from there. Find "
        "out who removed it; restore it as another file and check it with: lanyard audit verify FILE",
        path_, found_.head.seq));
    found_.notes.push_back(Note("continue", path_,
                                fmt::format("the file was missing at start; its last known line was seq {}, hash {}",
                                            found_.head.seq, found_.head.hash)));
    return OkStatus();
  }

  static bool Continues(const AuditScan& scan, const AuditHead& end) {
    return scan.first == AuditHead{end.seq + 1, end.hash};
  }
  static const AuditHead& Later(const AuditHead& preferred, const AuditHead& other) {
    return other.seq > preferred.seq ? other : preferred;
  }

  // Numbers up to the end of what is anchored or signed are never used again, and so is what continues it.
  void TrustWhatIsIn(const AuditScan& scan) {
    if (trusted_.seq != 0 && Continues(scan, trusted_)) trusted_ = scan.end;
    trusted_ = Later(trusted_, scan.trusted_end);
  }

  // All that is there, up to `end`, is one chain with a checkpoint of ours, and begins after what was remembered. Were
  // it the very next line it would name the remembered one's hash.
  bool StateIsOlderThanAll(const AuditHead& end) const {
    return stored_ && unbroken_ && chain_begin_.seq > stored_->seq + 1 && trusted_.seq != 0 && trusted_ == end;
  }

  void NoteStaleState() {
    const std::string what = fmt::format(
        "the state database is older than the audit log: it remembers seq {}, the log that is there begins with seq "
        "{}; was a backup of state.db restored? lines in between cannot be checked",
        stored_->seq, chain_begin_.seq);
    LANYARD_LOG_WARN("audit log {}: {}", path_, what);
    AddDamage(what);
    found_.notes.push_back(Note("continue", path_, what));
  }

  // After a kill, as a rule. Whoever can write to the file could have appended them, but cannot sign.
  void NoteFurtherLines() {
    if (!stored_ || found_.head.seq <= stored_->seq) return;
    const std::string found = fmt::format("the state remembers seq {}; {} further lines up to seq {} were found",
                                          stored_->seq, found_.head.seq - stored_->seq, found_.head.seq);
    found_.notes.push_back(
        Note("continue", path_,
             signed_seq_ > stored_->seq
                 ? fmt::format("{}: those up to seq {} are signed, the others are taken by their chain alone", found,
                               signed_seq_)
                 : fmt::format("{} and are taken by their chain alone", found)));
  }

  // An earlier start, or the log while it ran, may have been killed between moving a file aside and the first line of
  // the next, which would have told of it.
  Status NameWhatWasSetAsideLast() {
    std::string since;
    if (!rotated_.empty()) {
      const Result<AuditFileEnds> ends = ReadAuditFileEnds(rotated_.back().path);
      if (ends.ok()) since = FormatAuditTime(ends->last_time);
    }
    ASSIGN_OR_RETURN(const std::string aside, NewestAside(path_, since));
    if (aside.empty()) return OkStatus();
    const std::string what = fmt::format("{} was set aside, and no line that is there was written after that", aside);
    AddDamage(fmt::format("{}. See what is wrong with: lanyard audit verify {}", what, aside));
    found_.notes.push_back(Note("set-aside", aside, what));
    const UniqueFd fd(open(aside.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    struct stat info {};
    if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return OkStatus();  // none of our files
    ASSIGN_OR_RETURN(const AuditScan scan, ScanAuditFile(fd.get(), aside, stored_, is_ours_, Collect()));
    TrustWhatIsIn(scan);
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
    LANYARD_LOG_WARN("audit log {}: its last line was torn ({} bytes); set aside as {}", path_, bytes, aside);
    found_.notes.push_back(
        Note("set-aside", aside,
             fmt::format("the last line was torn: {}; its {} bytes are in {}", scan.problem, bytes, aside)));
    return OkStatus();
  }

  Status SetAside(const AuditScan& scan, const AuditHead& end) {
    std::string what = scan.problem;
    if (what.empty() && end.seq < trusted_.seq)
      what = fmt::format("it ends at seq {}, other files of the log at seq {}", end.seq, trusted_.seq);
    if (what.empty()) {
      what = end.seq < stored_->seq
                 ? fmt::format("it ends at seq {}, the last known line was seq {}", end.seq, stored_->seq)
                 : fmt::format("seq {} is not the line that was there before", stored_->seq);
    }
    // What is proven by what was remembered, or signed, comes first; without that, the last lines that fit together.
    found_.head = Later(stored_ ? *stored_ : BelievableEnd(scan), trusted_);
    if (found_.head.seq == 0) found_.head = rotated_end_;
    const std::string aside = AsideName(path_, "damaged", FormatAuditTime(now_));
    RETURN_IF_ERROR(Annotate(MoveAuditFile(path_, aside), "set aside damaged audit log"));
    AddDamage(fmt::format(
        "the audit log was damaged ({}) and is set aside as {}; a new file continues after seq {}. See what is wrong "
        "with: lanyard audit verify {}",
        what, aside, found_.head.seq, aside));
    found_.notes.push_back(
        Note("set-aside", aside, fmt::format("the file was damaged: {}; it is kept as {}", what, aside)));
    return OkStatus();
  }

  // Nothing was remembered. A last line with a number that the file cannot have come to is not believed when others
  // are.
  AuditHead BelievableEnd(const AuditScan& scan) const {
    const bool jumps = trusted_.seq != 0 && scan.last_run_end.seq > trusted_.seq + scan.lines;
    return jumps ? trusted_ : scan.last_run_end;
  }

  void AddDamage(const std::string& what) { found_.damage += (found_.damage.empty() ? "" : ". ") + what; }

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
  const CheckpointTest is_ours_;
  std::vector<RotatedAuditFile> rotated_;
  AuditHead rotated_end_;          // the last line of the newest rotated file
  bool rotated_anchored_ = false;  // what was remembered is in the rotated files, and they are whole from there on
  AuditHead chain_begin_;          // the first line of what was read, and the hash that it names as the one before
  bool unbroken_ = true;           // what was read is one chain so far
  AuditHead trusted_;              // the furthest line in anything that is there and anchored or signed; seq 0: none
  uint64_t signed_seq_ = 0;        // of what continues the remembered line, the furthest that is signed; 0: none
  std::deque<IssuedSerial> issued_;
  AuditRecovery found_;
};

}  // namespace

Result<AuditRecovery> RecoverAuditLog(const std::string& path, const std::optional<AuditHead>& stored, WallTime now,
                                      CheckpointTest is_ours) {
  return Recovery(path, stored, now, std::move(is_ours)).Run();
}

}  // namespace lanyard
