#include "node_agent/audit/audit_scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "node_agent/audit/line_reader.h"
#include "node_agent/base/fd.h"

namespace lanyard {
namespace {

// One run while it grows.
struct Run {
  AuditHead end;
  bool anchored = false;
  uint64_t since_checkpoint = 0;
  std::string checkpoint_line;  // the last one
  uint64_t signed_seq = 0;
};

std::string KeyIdOf(const std::string& checkpoint_line) {
  if (checkpoint_line.empty()) return "";
  const Result<AuditLine> line = ParseAuditLine(checkpoint_line);
  if (!line.ok()) return "";
  const auto& checkpoint = line->checkpoint;
  return checkpoint ? checkpoint->key_id : "";
}

// The line that this checkpoint covers; 0 when it is not the line before, or the signature is not ours.
uint64_t SignedBy(const std::string& checkpoint_line, const CheckpointTest& is_ours) {
  if (checkpoint_line.empty()) return 0;
  const Result<AuditLine> line = ParseAuditLine(checkpoint_line);
  if (!line.ok()) return 0;
  const auto& checkpoint = line->checkpoint;
  if (!checkpoint || checkpoint->covered != AuditHead{line->seq - 1, line->prev_hash}) return 0;
  return is_ours(*checkpoint) ? checkpoint->covered.seq : 0;
}

// Why `line` does not continue a run that ends at `end` (seq 0: any line may begin it); empty when it does.
std::string WhyNot(const LineReader::Line& line, const std::optional<AuditLink>& link, const AuditHead& end) {
  if (line.too_long) return "longer than a line of the log can be";
  if (!line.ended) return "it is cut off";
  if (!link) return "not a line of the log";
  if (end.seq == 0) return "";
  if (link->seq != end.seq + 1) return fmt::format("seq {} after {}", link->seq, end.seq);
  if (link->prev_hash != end.hash) return "its prev_hash is not the hash of the line before";
  return "";
}

}  // namespace

Result<AuditScan> ScanAuditFile(int fd, const std::string& path, const std::optional<AuditHead>& anchor,
                                const CheckpointTest& is_ours, const std::function<void(IssuedSerial)>& on_issued) {
  AuditScan scan;
  Run run;
  bool first_run = true;
  LineReader reader(fd, path);
  LineReader::Line line;
  const auto close_run = [&] {
    if (run.signed_seq != 0) run.signed_seq = std::max(run.signed_seq, SignedBy(run.checkpoint_line, is_ours));
    if ((run.anchored || run.signed_seq != 0) && run.end.seq > scan.trusted_end.seq) scan.trusted_end = run.end;
    if (!first_run) return;
    scan.end = run.end;
    scan.anchored = run.anchored;
    scan.since_checkpoint = run.since_checkpoint;
    scan.key_id = KeyIdOf(run.checkpoint_line);
    scan.signed_seq = run.signed_seq;
    first_run = false;
  };
  while (true) {
    ASSIGN_OR_RETURN(const bool more, reader.Next(line));
    if (!more) break;
    ++scan.lines;
    if (!scan.problem.empty()) scan.only_last_line = false;  // something follows what broke it
    const std::optional<AuditLink> link = PeekAuditLink(line.text);
    if (const std::string why = WhyNot(line, link, run.end); !why.empty()) {
      close_run();
      run = Run();
      if (scan.problem.empty()) {
        scan.problem = fmt::format("line {}: {}", line.number, why);
        scan.only_last_line = !link || !line.ended || line.too_long;
      }
    }
    if (!link || !line.ended || line.too_long) continue;

    if (scan.first.seq == 0) scan.first = {link->seq, std::string(link->prev_hash)};
    ASSIGN_OR_RETURN(std::string hash, HashAuditLine(line.text));
    if (anchor && run.end.seq == 0 && link->seq == anchor->seq + 1 && link->prev_hash == anchor->hash)
      run.anchored = true;
    run.end = {link->seq, std::move(hash)};
    if (anchor && run.end == *anchor) run.anchored = true;
    if (first_run) scan.good_bytes = line.offset + line.text.size() + 1;
    ++run.since_checkpoint;
    const std::string_view kind = PeekAuditKind(line.text);
    if (kind == AuditKindName(AuditKind::kCheckpoint)) {
      run.since_checkpoint = 0;
      run.checkpoint_line = line.text;
      if (run.signed_seq == 0) run.signed_seq = SignedBy(run.checkpoint_line, is_ours);
    } else if (IsIssueKind(kind) && (!anchor || link->seq > anchor->seq)) {
      if (const Result<AuditLine> parsed = ParseAuditLine(line.text); parsed.ok()) {
        if (const auto& issued = parsed->issued) on_issued(*issued);
      }
    }
    scan.last_run_end = run.end;
  }
  close_run();
  return scan;
}

Result<AuditFileEnds> ReadAuditFileEnds(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return ErrnoStatus(errno, fmt::format("open {}", path));
  AuditFileEnds ends;
  LineReader reader(fd.get(), path);
  LineReader::Line line;
  const Status not_log = Error(StatusCode::kDataLoss, "{}: it does not begin and end with lines of an audit log", path);
  ASSIGN_OR_RETURN(const bool any, reader.Next(line));
  const std::optional<AuditLink> first = any ? PeekAuditLink(line.text) : std::nullopt;
  struct stat info {};
  if (!first || fstat(fd.get(), &info) != 0) return not_log;
  ends.first_seq = first->seq;

  std::string tail(kMaxAuditLineBytes + 2, '\0');  // a line, its newline, and that of the line before
  const auto size = static_cast<uint64_t>(info.st_size);
  const uint64_t begin = size > tail.size() ? size - tail.size() : 0;
  const ssize_t got = pread(fd.get(), tail.data(), tail.size(), static_cast<off_t>(begin));
  if (got <= 0) return ErrnoStatus(errno, fmt::format("read {}", path));
  tail.resize(static_cast<size_t>(got));
  if (!tail.ends_with('\n')) return not_log;
  tail.pop_back();
  const std::string_view last = std::string_view(tail).substr(tail.rfind('\n') + 1);
  const Result<AuditLine> parsed = ParseAuditLine(last);
  if (!parsed.ok()) return not_log;
  ends.last.seq = parsed->seq;
  ends.last_time = parsed->time;
  ASSIGN_OR_RETURN(ends.last.hash, HashAuditLine(last));
  return ends;
}

}  // namespace lanyard
