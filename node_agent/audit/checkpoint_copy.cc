#include "node_agent/audit/checkpoint_copy.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <ctime>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "node_agent/base/duration.h"
#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/status.h"
#include "node_agent/base/thread_name.h"

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

Status AppendToFile(const std::string& path, const std::vector<std::string>& lines) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
  if (!fd) return ErrnoStatus(errno, "open");
  RETURN_IF_ERROR(CheckTrustedFile(path, FileSecrecy::kPublic));
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "look at it");
  if (!S_ISREG(info.st_mode)) return Error(StatusCode::kFailedPrecondition, "not a regular file");
  if (info.st_size == 0) RETURN_IF_ERROR(SyncDirectory(ParentDirectory(path)));
  std::string text;
  char last = '\n';
  if (info.st_size > 0 && pread(fd.get(), &last, 1, info.st_size - 1) == 1 && last != '\n') text += '\n';  // torn
  for (const std::string& line : lines) text += line + '\n';
  Status written = WriteAll(fd.get(), text);
  if (!written.ok() && ftruncate(fd.get(), info.st_size) != 0) {
    return Annotate(written, "and a part of it stays there");  // the next try ends that line first
  }
  return written;
}

// Blocks. `copied`: how many of `lines`, from the first on, are there now.
Status Copy(const std::string& to, const std::vector<std::string>& lines, size_t& copied) {
  copied = 0;
  if (to == "syslog") {
    for (; copied < lines.size(); ++copied) RETURN_IF_ERROR(SendToSyslog(lines[copied]));
    return OkStatus();
  }
  Status appended = AppendToFile(to, lines);
  if (appended.ok()) copied = lines.size();
  return appended;
}

}  // namespace

// Shared with the thread.
struct CheckpointCopy::State : std::enable_shared_from_this<State> {
  using SteadyClock = std::chrono::steady_clock;

  std::mutex mutex;  // of all that follows; not held while something is copied
  std::condition_variable changed;
  std::string to;
  std::deque<std::string> waiting;  // the oldest first; what is being copied is among them
  uint64_t before = 0;              // how many there were before those that wait
  uint64_t tried = 0;               // how many of all were there when the last try that has ended began
  uint64_t threads = 0;             // that were ever started
  uint64_t thread = 0;              // the number of the one that copies; 0: none. All others end
  std::optional<SteadyClock::time_point> trying_since;
  std::string problem;

  // In the thread that is called `self`.
  void Work(uint64_t self) {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return thread != self || tried != sent(); });
      if (thread != self) return;
      const std::string target = to;
      const std::vector<std::string> lines(waiting.begin(), waiting.end());
      const uint64_t begin = before, end = sent();
      trying_since = SteadyClock::now();
      lock.unlock();
      size_t copied = 0;
      const Status status = Copy(target, lines, copied);
      lock.lock();
      if (thread != self) return;
      trying_since.reset();
      tried = end;
      while (before < begin + copied) DropOldest();
      problem =
          status.ok() ? "" : Problem(fmt::format("{}; {} wait for the next try", Message(status), waiting.size()));
      changed.notify_all();
    }
  }

  // The rest with the mutex held.

  uint64_t sent() const { return before + waiting.size(); }

  void DropOldest() {
    waiting.pop_front();
    ++before;
  }

  void Wake() {
    changed.notify_all();
    if (thread != 0) return;
    thread = ++threads;
    try {
      std::thread([self = thread, state = shared_from_this()] {
        NameThisThread("audit copy");
        state->Work(self);
      }).detach();
    } catch (const std::system_error& error) {  // the next one starts it
      thread = 0;
      problem = Problem(fmt::format("start a thread: {}", error.what()));
    }
  }

  std::string Problem(const std::string& why) const {
    return fmt::format("checkpoints cannot be copied to {}: {}", to, why);
  }
};

CheckpointCopy::CheckpointCopy(std::string to, std::chrono::seconds patience)
    : state_(std::make_shared<State>()), patience_(patience) {
  state_->to = std::move(to);
}

CheckpointCopy::~CheckpointCopy() {
  std::lock_guard lock(state_->mutex);
  state_->thread = 0;
  state_->changed.notify_all();
}

void CheckpointCopy::Send(std::string line) {
  std::lock_guard lock(state_->mutex);
  if (state_->to.empty()) return;
  if (state_->waiting.size() == kMaxWaiting) state_->DropOldest();
  state_->waiting.push_back(std::move(line));
  state_->Wake();
}

void CheckpointCopy::SetTarget(std::string to) {
  std::lock_guard lock(state_->mutex);
  if (to == state_->to) return;
  state_->to = std::move(to);
  state_->thread = 0;  // the one that there is may hang
  state_->trying_since.reset();
  state_->problem.clear();
  while (state_->to.empty() && !state_->waiting.empty()) state_->DropOldest();
  state_->tried = state_->before;
  if (!state_->waiting.empty()) state_->Wake();
}

void CheckpointCopy::Flush(std::chrono::milliseconds limit) {
  std::unique_lock lock(state_->mutex);
  const uint64_t all = state_->sent();
  state_->changed.wait_for(lock, limit, [&] { return state_->thread == 0 || state_->tried >= all; });
}

std::string CheckpointCopy::problem() const {
  std::lock_guard lock(state_->mutex);
  const auto now = State::SteadyClock::now();
  const auto trying = now - state_->trying_since.value_or(now);
  if (trying <= patience_) return state_->problem;
  return state_->Problem(fmt::format("it has not answered for {}; {} wait",
                                     FormatDuration(std::chrono::floor<std::chrono::seconds>(trying)),
                                     state_->waiting.size()));
}

}  // namespace lanyard
