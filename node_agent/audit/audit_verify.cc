#include "node_agent/audit/audit_verify.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "node_agent/audit/audit_file.h"
#include "node_agent/audit/audit_key.h"
#include "node_agent/audit/audit_log.h"
#include "node_agent/audit/line_reader.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"

namespace lanyard {
namespace {

constexpr size_t kMaxKeyBytes = size_t{64} * 1024;
constexpr size_t kMaxProblems = 100;

// The audit key's public half, from a file with either half of it.
Result<PublicKey> ReadKey(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, kMaxKeyBytes));
  Result<PublicKey> key = PublicKey::FromPem(pem);
  if (key.ok()) return key;
  const Result<PrivateKey> pair = PrivateKey::FromPem(pem);
  if (pair.ok()) return pair->public_key();
  return Error(StatusCode::kInvalidArgument, "{}: neither a public key in PEM form nor a private one", path);
}

Result<UniqueFd> OpenToRead(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return ErrnoStatus(errno, fmt::format("open {}", path));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", path));
  if (!S_ISREG(info.st_mode)) return Error(StatusCode::kInvalidArgument, "open {}: not a regular file", path);
  return fd;
}

// As the agent names what it has rotated.
bool IsRotatedName(std::string_view path) {
  const size_t suffix = RotatedName("", 0).size();
  if (path.size() <= suffix) return false;
  const std::string_view end = path.substr(path.size() - suffix);
  return end.front() == '.' && end.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

// Walks over the lines of all files.
class Verification {
 public:
  explicit Verification(PublicKey key) : key_(std::move(key)) {}

  // The copies of checkpoints, by number: each is to be found in the log.
  Status ReadCopies(const std::string& path) {
    copies_path_ = path;
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenToRead(path));
    LineReader reader(fd.get(), path);
    LineReader::Line line;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, reader.Next(line));
      if (!more) return OkStatus();
      if (line.text.empty()) continue;
      // As syslog has it, there is something before the line.
      const size_t begin = std::min(line.text.find('{'), line.text.size());
      const Result<AuditLine> parsed = ParseAuditLine(line.text.substr(begin));
      if (!line.ended && !parsed.ok()) {
        Note("{}:{}: the last line is cut off; it is not counted", path, line.number);
      } else if (!parsed.ok() || !parsed->checkpoint) {
        Problem(path, line.number, "not a checkpoint line of an audit log");
      } else if (parsed->checkpoint->covered != AuditHead{parsed->seq - 1, parsed->prev_hash}) {
        Problem(path, line.number, "checkpoint: it is not about the line before it");
      } else if (const Status valid = CheckCheckpoint(*parsed->checkpoint, key_); !valid.ok()) {
        Problem(path, line.number, fmt::format("checkpoint: {}", Message(valid)));
      } else {
        AddCopy(parsed->seq, {line.number, std::string(line.text.substr(begin)), parsed->checkpoint->signature});
      }
    }
  }

  Status ReadFile(const std::string& path) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenToRead(path));
    ++verdict_.files;
    LineReader reader(fd.get(), path);
    LineReader::Line line;
    bool first = true;
    unsigned_here_ = 0;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, reader.Next(line));
      if (!more) break;
      RETURN_IF_ERROR(Check(path, line, first));
      first = false;
    }
    if (first) {
      Note("{}: empty", path);
    } else if (ends_in_record_ && IsRotatedName(path) && !tail_.rotated) {
      tail_.rotated = Place{path, line.number};
    }
    return OkStatus();
  }

  AuditVerdict Finish() {
    for (const auto& [seq, copy] : copies_) {
      if (verdict_.records > 0 && seq < verdict_.first_seq) {
        ++older_copies_;
        continue;
      }
      Problem(copies_path_, copy.number,
              fmt::format("the log has no such checkpoint at seq {}: it was cut or rewritten", seq));
    }
    if (older_copies_ > 0) {
      Note("{} copied checkpoints are older than the files given{}", older_copies_,
           copies_found_ > 0 ? "" : "; none vouches for what is in them");
    }
    if (verdict_.records == 0) Note("there is no line at all");
    if (verdict_.first_seq > 1) Note("begins at seq {}: earlier files are not here", verdict_.first_seq);
    if (older_copies_ > 0 && copies_found_ == 0 && !follows_copy_ && verdict_.checkpoints == 0) {
      Problem(first_.path, first_.line,
              "it comes after all copied checkpoints, continues none of them, and nothing that follows is signed: give "
              "the files before it, or the log was replaced");
    }
    JudgeTail();
    if (dropped_ > 0) verdict_.problems.push_back(fmt::format("{} further problems are not shown", dropped_));
    return std::move(verdict_);
  }

 private:
  struct Copy {
    uint64_t number = 0;
    std::string line, signature;
  };
  struct Place {
    std::string path;
    uint64_t line = 0;
  };
  // What comes after the last valid checkpoint.
  struct Tail {
    std::optional<WallTime> begin;
    WallTime end;
    std::optional<Place> too_long;  // where more lines of one file begin than an agent leaves unsigned
    uint64_t too_long_lines = 0;
    std::optional<Place> rotated;  // where a rotated file ends
  };

  template <class... Args>
  void Note(fmt::format_string<Args...> format, Args&&... args) {
    verdict_.notes.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void Problem(const std::string& path, uint64_t line, std::string_view what) {
    if (verdict_.problems.size() >= kMaxProblems) {
      ++dropped_;
      return;
    }
    verdict_.problems.push_back(fmt::format("{}:{}: {}", path, line, what));
  }

  // The same line twice is a copy that came twice.
  void AddCopy(uint64_t seq, Copy copy) {
    const auto [known, is_new] = copies_.try_emplace(seq, copy);
    if (is_new || known->second.line == copy.line) return;
    const bool one_signature = known->second.signature == copy.signature;
    Problem(
        copies_path_, copy.number,
        fmt::format("two different checkpoints at seq {}, the other is in line {}: {}", seq, known->second.number,
                    one_signature ? "one of the copies was changed"
                                  : "the log was forked (its state was put back, and it went on from there again)"));
  }

  // Whoever can write to the files can make this part anew. It is a problem when no agent can have left it so.
  //
  // An agent counts lines over kills (at its start it counts what is in the file) and on a full disk (a batch is
  // written with its checkpoints or not at all). Only a file that is moved away while it is down takes its count with
  // it, so we count by the file; twice what it may count to is beyond doubt. Time is no bound: `checkpoint_interval` is
  // at most 24 hours, but each start and reload begins it anew, a checkpoint that a full disk refuses is tried again
  // one interval after the next line, without a trace, and clocks jump.
  void JudgeTail() {
    if (tail_.too_long) {
      Problem(
          tail_.too_long->path, tail_.too_long->line,
          fmt::format("from here on there are {} lines without a valid checkpoint, and the agent signs after every {}: "
                      "checkpoints were removed, or the lines are not by the agent",
                      tail_.too_long_lines, sign_after_));
    }
    if (tail_.rotated) {
      Problem(tail_.rotated->path, tail_.rotated->line,
              "a rotated file ends without a checkpoint, and the agent signs a file before it rotates it: the "
              "checkpoint was removed, or the lines are not by the agent");
    }
    if (verdict_.records == 0 || verdict_.last_signed_seq >= verdict_.last_seq) return;
    if (verdict_.checkpoints == 0) {
      Note("no line is signed: there is no valid checkpoint; who can write to the files can have made all of it");
    } else if (tail_.begin) {
      Note("the last {} lines, {} to {}, are chained but not yet signed by a checkpoint",
           verdict_.last_seq - verdict_.last_signed_seq, FormatAuditTime(*tail_.begin), FormatAuditTime(tail_.end));
    }
  }

  Status Check(const std::string& path, const LineReader::Line& line, bool first_of_file) {
    const auto problem = [&](std::string_view what) { Problem(path, line.number, what); };
    ++verdict_.records;
    ends_signed_ = ends_in_record_ = false;
    Result<AuditLine> parsed = line.too_long
                                   ? Error(StatusCode::kInvalidArgument, "longer than a line of the log can be")
                                   : ParseAuditLine(line.text);
    if (!line.ended) {
      problem("the last line is cut off (torn by a crash, or still being written)");
    } else if (!parsed.ok()) {
      problem(Message(parsed.status()));
    }
    if (!line.ended || !parsed.ok()) {
      linked_ = false;  // one finding is enough: what follows cannot be linked to it
      return OkStatus();
    }
    if (verdict_.first_seq == 0) {
      verdict_.first_seq = parsed->seq;
      first_ = {path, line.number};
      RETURN_IF_ERROR(CheckFirst(*parsed, problem));
    } else if (linked_ || first_of_file) {
      CheckLink(*parsed, first_of_file, problem);
    } else if (parsed->seq != last_.seq + 2) {
      problem(fmt::format("seq {} after {} and one line that is no record", parsed->seq, last_.seq));
    }
    ASSIGN_OR_RETURN(last_.hash, HashAuditLine(line.text));
    last_.seq = parsed->seq;
    linked_ = true;
    if (parsed->checkpoint) Sign(*parsed, line.text, problem);
    ends_in_record_ = !parsed->checkpoint;
    if (!ends_signed_) AddToTail(path, line.number, parsed->time);
    verdict_.last_seq = last_.seq;
    verdict_.last_hash = last_.hash;
    return OkStatus();
  }

  // Older lines may have been removed. A copy of the last of them still says what comes after it.
  template <class Problem>
  Status CheckFirst(const AuditLine& line, Problem problem) {
    if (line.seq == 1 && line.prev_hash != NoAuditHash()) problem("the first line of all names one before it");
    const auto before = copies_.find(line.seq - 1);
    if (before == copies_.end()) return OkStatus();
    follows_copy_ = true;
    ASSIGN_OR_RETURN(const std::string hash, HashAuditLine(before->second.line));
    if (hash != line.prev_hash) {
      problem(
          fmt::format("its prev_hash is not the hash of the checkpoint before it, copied at {}:{}: the log was "
                      "rewritten from here on",
                      copies_path_, before->second.number));
    }
    return OkStatus();
  }

  void AddToTail(const std::string& path, uint64_t line, WallTime time) {
    if (!tail_.begin) tail_.begin = time;
    tail_.end = time;
    if (unsigned_here_++ == 0) unsigned_from_ = line;
    if (unsigned_here_ <= 2 * sign_after_) return;
    tail_.too_long = Place{path, unsigned_from_};
    tail_.too_long_lines = unsigned_here_;
  }

  template <class Problem>
  void CheckLink(const AuditLine& line, bool first_of_file, Problem problem) const {
    const uint64_t expected = last_.seq + 1;
    if (line.seq != expected) {
      const std::string_view why = line.seq > expected && first_of_file ? "a file between is missing"
                                   : line.seq > expected                ? "lines were removed"
                                   : first_of_file                      ? "the files are not in order, or overlap"
                                                                        : "a line was put in, or the order changed";
      problem(fmt::format("seq {} after {}: {}", line.seq, last_.seq, why));
    } else if (!linked_) {
      return;
    } else if (line.prev_hash != last_.hash) {
      problem(first_of_file
                  ? "its prev_hash is not the hash of the last line of the file before: one of them was changed"
                  : "its prev_hash is not the hash of the line before: one of them was changed");
    }
  }

  template <class Problem>
  void Sign(const AuditLine& line, std::string_view text, Problem problem) {
    const AuditCheckpoint& checkpoint = *line.checkpoint;
    if (checkpoint.covered.seq + 1 != line.seq || checkpoint.covered.hash != line.prev_hash) {
      problem("checkpoint: it is not about the line before it");
    } else if (const Status valid = CheckCheckpoint(checkpoint, key_); !valid.ok()) {
      problem(fmt::format("checkpoint: {}", Message(valid)));
    } else {
      ++verdict_.checkpoints;
      verdict_.last_signed_seq = std::max(verdict_.last_signed_seq, checkpoint.covered.seq);
      ends_signed_ = true;
      tail_ = Tail();
      unsigned_here_ = 0;
    }
    const auto copy = copies_.find(line.seq);
    if (copy == copies_.end()) return;
    ++copies_found_;
    if (copy->second.line != text) {
      problem(fmt::format("checkpoint: the copy at {}:{} is another one: the log was rewritten", copies_path_,
                          copy->second.number));
    }
    copies_.erase(copy);
  }

  const uint64_t sign_after_ = AuditOptions{}.checkpoint_lines;  // nobody can configure it
  PublicKey key_;
  AuditVerdict verdict_;
  Place first_;                // the first line that could be read
  bool follows_copy_ = false;  // it is the one right after a copied checkpoint
  AuditHead last_;             // the last line that could be read
  bool linked_ = false;        // and the next one is to continue it
  bool ends_signed_ = false, ends_in_record_ = false;
  Tail tail_;
  uint64_t unsigned_here_ = 0;  // lines of the file that is read, after its last valid checkpoint
  uint64_t unsigned_from_ = 0;  // where the first of them is
  std::string copies_path_;
  std::map<uint64_t, Copy> copies_;
  uint64_t copies_found_ = 0, older_copies_ = 0, dropped_ = 0;
};

}  // namespace

Result<AuditVerdict> VerifyAudit(const AuditVerifyOptions& options) {
  if (options.files.empty()) return Error(StatusCode::kInvalidArgument, "verify audit log: no file is named");
  Result<PublicKey> key = ReadKey(options.key_file);
  if (!key.ok()) return Annotate(key.status(), "audit key");
  Verification verification(*std::move(key));
  if (options.checkpoints) {
    RETURN_IF_ERROR(Annotate(verification.ReadCopies(*options.checkpoints), "copies of checkpoints"));
  }
  for (const std::string& file : options.files) {
    RETURN_IF_ERROR(Annotate(verification.ReadFile(file), "verify audit log"));
  }
  return verification.Finish();
}

Result<std::vector<std::string>> AuditFiles(const std::string& path) {
  ASSIGN_OR_RETURN(const std::vector<RotatedAuditFile> rotated, RotatedAuditFiles(path));
  std::vector<std::string> files;
  for (const RotatedAuditFile& file : rotated) files.push_back(file.path);
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    files.push_back(path);
  } else if (errno != ENOENT) {
    return ErrnoStatus(errno, fmt::format("look at {}", path));
  }
  if (files.empty()) return Error(StatusCode::kNotFound, "there is no audit log at {}", path);
  return files;
}

}  // namespace lanyard
