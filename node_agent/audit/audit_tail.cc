#include "node_agent/audit/audit_tail.h"

#include <unistd.h>

#include <algorithm>

#include "node_agent/base/log.h"

namespace lanyard {
namespace {

constexpr uint64_t kPieceBytes = 256 * 1024;

Result<std::string> ReadPiece(int fd, uint64_t begin, uint64_t size) {
  std::string bytes(size, '\0');
  size_t used = 0;
  while (used < size) {
    const ssize_t got = pread(fd, bytes.data() + used, size - used, static_cast<off_t>(begin + used));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read the audit log");
    if (got == 0) return Error(StatusCode::kDataLoss, "read the audit log: it has become shorter");
    used += static_cast<size_t>(got);
  }
  return bytes;
}

// Where the last `lines` lines before `end` begin.
Result<uint64_t> BeginOfLast(int fd, uint64_t end, size_t lines) {
  if (lines == 0) return end;
  size_t newlines = 0;  // the one at `end` itself ends the last line
  for (uint64_t at = end; at > 0;) {
    const uint64_t size = std::min(kPieceBytes, at);
    at -= size;
    ASSIGN_OR_RETURN(const std::string piece, ReadPiece(fd, at, size));
    for (size_t i = piece.size(); i > 0; --i) {
      if (piece[i - 1] == '\n' && ++newlines == lines + 1) return at + i;
    }
  }
  return 0;
}

}  // namespace

std::shared_ptr<AuditTail> AuditTail::Start(EventLoop& loop, const AuditExtent& old, size_t lines,
                                            AuditLog::LineListener listener, AuditLog::Done caught_up) {
  std::shared_ptr<AuditTail> tail(new AuditTail(loop, std::move(listener), std::move(caught_up)));
  const auto [fd, end] = old;
  tail->old_end_ = end;
  tail->pieces_.push_back({fd, end, end});
  loop.ComputeInPool([fd = old.fd, end = old.end,
                      lines] { return fd == nullptr ? Result<uint64_t>(0) : BeginOfLast(fd->get(), end, lines); },
                     [tail](Result<uint64_t> begin) {
                       tail->reading_ = false;
                       if (!begin.ok()) return tail->CaughtUp(begin.status());
                       tail->pieces_.front().begin = *begin;
                       tail->ReadOn();
                     });
  return tail;
}

void AuditTail::Extend(const AuditExtent& extent) {
  if (pieces_.back().fd != extent.fd) pieces_.push_back({extent.fd, 0, 0});
  pieces_.back().end = extent.end;
  ReadOn();
}

void AuditTail::ReadOn() {
  if (ended_ || reading_) return;
  if (pieces_.front().begin >= old_end_ && caught_up_) CaughtUp(OkStatus());
  while (!ended_ && pieces_.size() > 1 && pieces_.front().begin == pieces_.front().end) pieces_.pop_front();
  const Piece& piece = pieces_.front();
  if (ended_ || piece.begin == piece.end) return;
  reading_ = true;
  // Up to where the old lines end first: `caught_up` comes between them and the new ones.
  const uint64_t end = caught_up_ ? std::min(piece.end, old_end_) : piece.end;
  loop_.ComputeInPool([fd = piece.fd, begin = piece.begin,
                       size = std::min(kPieceBytes, end - piece.begin)] { return ReadPiece(fd->get(), begin, size); },
                      [tail = shared_from_this()](const Result<std::string>& bytes) {
                        tail->reading_ = false;
                        tail->Deliver(bytes);
                      });
}

void AuditTail::Deliver(const Result<std::string>& bytes) {
  if (ended_) return;
  if (!bytes.ok()) return CaughtUp(bytes.status());
  std::string_view rest = *bytes;
  for (size_t newline = rest.find('\n'); newline != std::string_view::npos && !ended_; newline = rest.find('\n')) {
    listener_(rest.substr(0, newline));
    rest.remove_prefix(newline + 1);
  }
  // What is left is the beginning of a line, unless somebody else wrote into the file: no line of ours is that long.
  const size_t used = rest.size() == bytes->size() ? bytes->size() : bytes->size() - rest.size();
  pieces_.front().begin += used;
  ReadOn();
}

void AuditTail::CaughtUp(Status status) {
  if (ended_) return;
  if (!status.ok()) ended_ = true;
  if (AuditLog::Done done = std::move(caught_up_)) {
    caught_up_ = nullptr;
    std::move(done)(std::move(status));
  } else if (!status.ok()) {
    LANYARD_LOG_WARN("following the audit log ends: {}", Message(status));
  }
}

}  // namespace lanyard
