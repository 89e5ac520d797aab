#include "node_agent/base/process_exit_watcher.h"

#include <fcntl.h>
#include <uv.h>

#include "node_agent/base/uv_handle.h"

namespace lanyard {
namespace {

class PidfdWatch : public ProcessExitWatch {
 public:
  PidfdWatch(std::shared_ptr<const ProcessRef> process, absl::AnyInvocable<void()> on_exit)
      : process_(std::move(process)), on_exit_(std::move(on_exit)) {}

  ~PidfdWatch() override {
    // libuv forgets a polled fd when its handle closes, and only then may the fd be closed: the reference goes with the
    // handle.
    uv_poll_t* raw = poll_.get();
    if (raw != nullptr && started_) uv_poll_stop(raw);
  }

  Status Start(EventLoop& loop) {
    int error = uv_poll_init(loop.native(), poll_.get(), process_->pidfd());
    if (error == UV_EEXIST) {  // a second watch of this process: libuv takes each descriptor once per loop
      own_pidfd_.reset(fcntl(process_->pidfd(), F_DUPFD_CLOEXEC, 0));
      if (!own_pidfd_) return ErrnoStatus(errno, fmt::format("watch process {}", process_->pid()));
      error = uv_poll_init(loop.native(), poll_.get(), own_pidfd_.get());
    }
    if (error != 0) {
      return Error(StatusCode::kUnavailable, "watch process {}: {}", process_->pid(), uv_strerror(error));
    }
    started_ = true;
    uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      auto* self = Owner<PidfdWatch>(handle);
      if (self == nullptr) return;
      uv_poll_stop(handle);
      auto on_exit = std::move(self->on_exit_);
      on_exit();  // may destroy *self
    });
    return OkStatus();
  }

 private:
  std::shared_ptr<const ProcessRef> process_;  // declared first: destroyed after the handle has left the poll set
  UniqueFd own_pidfd_;                         // likewise
  absl::AnyInvocable<void()> on_exit_;
  UvHandle<uv_poll_t> poll_{this};
  bool started_ = false;
};

}  // namespace

Result<std::unique_ptr<ProcessExitWatch>> WatchProcessExit(EventLoop& loop, std::shared_ptr<const ProcessRef> process,
                                                           absl::AnyInvocable<void()> on_exit) {
  auto watch = std::make_unique<PidfdWatch>(std::move(process), std::move(on_exit));
  RETURN_IF_ERROR(watch->Start(loop));
  return watch;
}

}  // namespace lanyard
