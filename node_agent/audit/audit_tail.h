// Lines of the audit log as they are written, for one listener.
//
// The lines are read from the file, old and new ones alike, a piece at a time: a slow listener costs no memory, and
// none is left out or told twice. What has been told to be written (Extend) is all that is read.
//
// Thread: loop; reading happens in the pool.
#pragma once

#include <deque>
#include <memory>

#include "node_agent/audit/audit_file.h"
#include "node_agent/audit/audit_log.h"

namespace lanyard {

class AuditTail : public std::enable_shared_from_this<AuditTail> {
 public:
  // Begins with the last `lines` lines of `old`.
  static std::shared_ptr<AuditTail> Start(EventLoop& loop, const AuditExtent& old, size_t lines,
                                          AuditLog::LineListener listener, AuditLog::Done caught_up);

  // The log now goes on, or has gone on, to the end of this.
  void Extend(const AuditExtent& extent);

  // The listener is not called any more.
  void End() { ended_ = true; }

 private:
  struct Piece {
    SharedFd fd;
    uint64_t begin, end;
  };

  AuditTail(EventLoop& loop, AuditLog::LineListener listener, AuditLog::Done caught_up)
      : loop_(loop), listener_(std::move(listener)), caught_up_(std::move(caught_up)) {}

  void ReadOn();
  void Deliver(const Result<std::string>& bytes);
  void CaughtUp(Status status);

  EventLoop& loop_;
  AuditLog::LineListener listener_;
  AuditLog::Done caught_up_;
  std::deque<Piece> pieces_;  // to be read, by file; never empty: the last one is the file that grows
  uint64_t old_end_ = 0;      // where the old lines of the first file end
  bool reading_ = true;
  bool ended_ = false;
};

}  // namespace lanyard
