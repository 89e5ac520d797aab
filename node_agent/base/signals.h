// Signals as callbacks on the loop.
//
// Destroying the watch gives the signals their default action back. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <vector>

#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"

namespace lanyard {

class SignalWatch {
 public:
  virtual ~SignalWatch() = default;
};

// `on_signal` is called with each of `signals` that arrives.
Result<std::unique_ptr<SignalWatch>> WatchSignals(EventLoop& loop, const std::vector<int>& signals,
                                                  absl::AnyInvocable<void(int)> on_signal);

}  // namespace lanyard
