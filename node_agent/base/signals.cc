#include "node_agent/base/signals.h"

#include <uv.h>

#include <list>

#include "node_agent/base/uv_handle.h"

namespace lanyard {
namespace {

class UvSignalWatch : public SignalWatch {
 public:
  explicit UvSignalWatch(absl::AnyInvocable<void(int)> on_signal) : on_signal_(std::move(on_signal)) {}

  Status Add(EventLoop& loop, int signal) {
    UvHandle<uv_signal_t>& handle = handles_.emplace_back(this);
    int error = uv_signal_init(loop.native(), handle.get());
    if (error == 0) {
      error = uv_signal_start(
          handle.get(),
          [](uv_signal_t* arrived, int number) {
            if (auto* self = Owner<UvSignalWatch>(arrived)) self->on_signal_(number);
          },
          signal);
    }
    if (error != 0) return Error(StatusCode::kUnavailable, "watch signal {}: {}", signal, uv_strerror(error));
    return OkStatus();
  }

 private:
  absl::AnyInvocable<void(int)> on_signal_;
  std::list<UvHandle<uv_signal_t>> handles_;
};

}  // namespace

Result<std::unique_ptr<SignalWatch>> WatchSignals(EventLoop& loop, const std::vector<int>& signals,
                                                  absl::AnyInvocable<void(int)> on_signal) {
  auto watch = std::make_unique<UvSignalWatch>(std::move(on_signal));
  for (const int signal : signals) RETURN_IF_ERROR(watch->Add(loop, signal));
  return watch;
}

}  // namespace lanyard
