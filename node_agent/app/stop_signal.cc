#include "node_agent/app/stop_signal.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <utility>

#include "node_agent/base/thread_name.h"

namespace lanyard {
namespace {

sigset_t StopSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

// Without descriptors the signals keep their usual effect, which ends the process: also a way to stop.
StopSignal::StopSignal() : wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const sigset_t set = StopSet();
  signals_.reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!wake_ || !signals_) return;
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] {
    NameThisThread("signals");
    Listen();
  });
}

StopSignal::~StopSignal() {
  if (!thread_.joinable()) return;
  eventfd_write(wake_.get(), 1);
  thread_.join();
  const sigset_t set = StopSet();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void StopSignal::Listen() {
  pollfd fds[] = {{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  while (poll(fds, 2, -1) < 0) {
  }
  signalfd_siginfo info{};
  if (read(signals_.get(), &info, sizeof info) != sizeof info) return;  // woken by the destructor
  stopped_.store(true);
  eventfd_write(wake_.get(), 1);
  const std::lock_guard lock(mutex_);
  if (on_stop_) std::exchange(on_stop_, nullptr)();
}

void StopSignal::WaitFor(std::chrono::milliseconds duration) const {
  pollfd fd{wake_.get(), POLLIN, 0};
  poll(&fd, 1, static_cast<int>(duration.count()));
}

StopSignal::Listener::Listener(StopSignal& stop, std::function<void()> on_stop) : stop_(stop) {
  const std::lock_guard lock(stop_.mutex_);
  if (stop_.stopped()) {
    on_stop();
  } else {
    stop_.on_stop_ = std::move(on_stop);
  }
}

StopSignal::Listener::~Listener() {
  const std::lock_guard lock(stop_.mutex_);
  stop_.on_stop_ = nullptr;
}

}  // namespace lanyard
