#include "node_agent/audit/audit_verify.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "node_agent/audit/audit_file.h"
#include "node_agent/audit/audit_key.h"
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
      } else if (const Status valid = CheckCheckpoint(*parsed->checkpoint, key_); !valid.ok()) {
        Problem(path, line.number, fmt::format("checkpoint: {}", Message(valid)));
      } else {
        copies_.emplace(parsed->seq, Copy{line.number, std::string(line.text.substr(begin))});
      }
    }
  }

  Status ReadFile(const std::string& path) {
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenToRead(path));
    ++verdict_.files;
    LineReader reader(fd.get(), path);
    LineReader::Line line;
    bool first = true;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, reader.Next(line));
      if (!more) break;
      RETURN_IF_ERROR(Check(path, line, first));
      first = false;
    }
    if (first) Note("{}: empty", path);
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
    if (older_copies_ > 0) Note("{} copied checkpoints are older than the files given", older_copies_);
    if (verdict_.records == 0) Note("there is no line at all");
    if (verdict_.first_seq > 1) Note("begins at seq {}: earlier files are not here", verdict_.first_seq);
    if (verdict_.records > 0 && verdict_.last_signed_seq < verdict_.last_seq) {
      if (verdict_.checkpoints == 0) {
        Note("no line is signed: there is no valid checkpoint");
      } else if (const uint64_t rest = verdict_.last_seq - verdict_.last_signed_seq; rest > 1 || !ends_signed_) {
        Note("the last {} lines are chained but not yet signed by a checkpoint", rest);
      }
    }
    if (dropped_ > 0) verdict_.problems.push_back(fmt::format("{} further problems are not shown", dropped_));
    return std::move(verdict_);
  }

 private:
  struct Copy {
    uint64_t number = 0;
    std::string line;
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

  Status Check(const std::string& path, const LineReader::Line& line, bool first_of_file) {
    const auto problem = [&](std::string_view what) { Problem(path, line.number, what); };
    ++verdict_.records;
    ends_signed_ = false;
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
      if (parsed->seq == 1 && parsed->prev_hash != NoAuditHash()) problem("the first line of all names one before it");
    } else if (linked_ || first_of_file) {
      CheckLink(*parsed, first_of_file, problem);
    } else if (parsed->seq != last_.seq + 2) {
      problem(fmt::format("seq {} after {} and one line that is no record", parsed->seq, last_.seq));
    }
    ASSIGN_OR_RETURN(last_.hash, HashAuditLine(line.text));
    last_.seq = parsed->seq;
    linked_ = true;
    if (parsed->checkpoint) Sign(*parsed, line.text, problem);
    verdict_.last_seq = last_.seq;
    verdict_.last_hash = last_.hash;
    return OkStatus();
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
    }
    const auto copy = copies_.find(line.seq);
    if (copy == copies_.end()) return;
    if (copy->second.line != text) {
      problem(fmt::format("checkpoint: the copy at {}:{} is another one: the log was rewritten", copies_path_,
                          copy->second.number));
    }
    copies_.erase(copy);
  }

  PublicKey key_;
  AuditVerdict verdict_;
  AuditHead last_;       // the last line that could be read
  bool linked_ = false;  // and the next one is to continue it
  bool ends_signed_ = false;
  std::string copies_path_;
  std::map<uint64_t, Copy> copies_;
  uint64_t older_copies_ = 0, dropped_ = 0;
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
