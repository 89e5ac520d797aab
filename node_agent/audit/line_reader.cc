#include "node_agent/audit/line_reader.h"

#include <unistd.h>

#include <cstring>

#include "node_agent/audit/audit_line.h"

namespace lanyard {
namespace {

constexpr size_t kBufferBytes = size_t{256} * 1024;
static_assert(kBufferBytes > 2 * kMaxAuditLineBytes);

}  // namespace

LineReader::LineReader(int fd, std::string name) : fd_(fd), name_(std::move(name)), buffer_(kBufferBytes, '\0') {}

Status LineReader::Fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  while (!at_end_ && end_ < buffer_.size()) {
    const ssize_t got =
        pread(fd_, buffer_.data() + end_, buffer_.size() - end_, static_cast<off_t>(file_offset_ + end_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, fmt::format("read {}", name_));
    at_end_ = got == 0;
    end_ += static_cast<size_t>(got);
  }
  return OkStatus();
}

Result<bool> LineReader::Next(Line& line) {
  std::string_view waiting(buffer_.data() + begin_, end_ - begin_);
  size_t length = waiting.find('\n');
  if (length == std::string_view::npos && !at_end_) {
    RETURN_IF_ERROR(Fill());
    waiting = std::string_view(buffer_.data() + begin_, end_ - begin_);
    length = waiting.find('\n');
  }
  if (waiting.empty()) return false;
  const size_t shown = std::min(length, waiting.size());
  line = {.text = waiting.substr(0, shown),
          .number = ++number_,
          .offset = file_offset_,
          .ended = length != std::string_view::npos,
          .too_long = shown > kMaxAuditLineBytes};
  const size_t used = shown + (line.ended ? 1 : 0);
  begin_ += used;
  file_offset_ += used;
  if (line.ended || at_end_) return true;

  // A line that fills the buffer: its beginning is kept, the rest is skipped.
  std::string beginning(line.text.substr(0, kMaxAuditLineBytes));
  while (!line.ended && !(at_end_ && begin_ == end_)) {
    RETURN_IF_ERROR(Fill());
    const std::string_view more(buffer_.data() + begin_, end_ - begin_);
    const size_t newline = more.find('\n');
    line.ended = newline != std::string_view::npos;
    const size_t skipped = line.ended ? newline + 1 : more.size();
    begin_ += skipped;
    file_offset_ += skipped;
  }
  line_storage_ = std::move(beginning);
  line.text = line_storage_;
  return true;
}

}  // namespace lanyard
