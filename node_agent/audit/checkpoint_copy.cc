#include "node_agent/audit/checkpoint_copy.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <ctime>

#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"

namespace lanyard {
namespace {

constexpr size_t kMaxWaiting = 1000;

Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(fd) == 0 ? OkStatus() : ErrnoStatus(errno, "fsync");
}

// As syslog(3) writes it, but a daemon that does not read is an error, not a wait: syslog(3) would hold the audit log.
Status SendToSyslog(const std::string& line) {
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return ErrnoStatus(errno, "make a socket");
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = "/dev/log"};
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, "connect to /dev/log (is a syslog daemon running?)");
  }
  const std::time_t now = std::time(nullptr);
  const std::string message = fmt::format("<{}>{:%b %e %H:%M:%S} lanyard[{}]: audit checkpoint {}",
                                          LOG_AUTHPRIV | LOG_NOTICE, fmt::localtime(now), getpid(), line);
  if (send(fd.get(), message.data(), message.size(), MSG_NOSIGNAL) < 0) return ErrnoStatus(errno, "send to /dev/log");
  return OkStatus();
}

}  // namespace

void CheckpointCopy::Send(std::string line) {
  if (to_.empty()) return;
  if (waiting_.size() == kMaxWaiting) waiting_.pop_front();
  waiting_.push_back(std::move(line));
  const Status sent = to_ == "syslog" ? SendAll() : AppendAll();
  problem_ = sent.ok() ? ""
                       : fmt::format("checkpoints cannot be copied to {}: {}; {} wait for the next try", to_,
                                     Message(sent), waiting_.size());
  if (sent.ok()) waiting_.clear();
}

Status CheckpointCopy::SendAll() {
  for (; !waiting_.empty(); waiting_.pop_front()) RETURN_IF_ERROR(SendToSyslog(waiting_.front()));
  return OkStatus();
}

Status CheckpointCopy::AppendAll() const {
  UniqueFd fd(open(to_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
  if (!fd) return ErrnoStatus(errno, "open");
  RETURN_IF_ERROR(CheckTrustedFile(to_, FileSecrecy::kPublic));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "look at it");
  if (!S_ISREG(info.st_mode)) return Error(StatusCode::kFailedPrecondition, "not a regular file");
  if (info.st_size == 0) RETURN_IF_ERROR(SyncDirectory(ParentDirectory(to_)));
  std::string text;
  char last = '\n';
  if (info.st_size > 0 && pread(fd.get(), &last, 1, info.st_size - 1) == 1 && last != '\n') text += '\n';  // torn
  for (const std::string& line : waiting_) text += line + '\n';
  Status written = WriteAll(fd.get(), text);
  if (!written.ok() && ftruncate(fd.get(), info.st_size) != 0) {
    return Annotate(written, "and a part of it stays there");  // the next try ends that line first
  }
  return written;
}

}  // namespace lanyard
