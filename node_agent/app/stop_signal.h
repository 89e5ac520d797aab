// Ends a blocking command on SIGINT or SIGTERM.
//
// A thread of its own takes the two signals and calls a function, which makes the blocking call return. Make it before
// any other thread (gRPC's) begins: the signals are blocked in the calling thread, and threads inherit that.
//
// Thread: made and destroyed in main; on_stop runs on the signal thread, at most once, and not after the destructor has
// returned.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

#include "node_agent/base/fd.h"

namespace lanyard {

class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool stopped() const { return stopped_.load(); }
  // Waits for so long, or until a signal comes.
  void WaitFor(std::chrono::milliseconds duration) const;

  // While it lives, a signal calls `on_stop`; at once if one has come already.
  class Listener {
   public:
    Listener(StopSignal& stop, std::function<void()> on_stop);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

   private:
    StopSignal& stop_;
  };

 private:
  void Listen();

  UniqueFd signals_;  // signalfd
  UniqueFd wake_;     // eventfd: written when stopped or when the thread shall end
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;  // guards on_stop_
  std::function<void()> on_stop_;
  std::thread thread_;
};

}  // namespace lanyard
