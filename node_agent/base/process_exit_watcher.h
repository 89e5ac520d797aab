// Calls back when a process exits: its pidfd on the loop, 0.2 ms after the exit, reaped or not.
//
// Destroying the watch cancels it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>

#include "node_agent/base/event_loop.h"
#include "node_agent/base/process.h"

namespace lanyard {

class ProcessExitWatch {
 public:
  virtual ~ProcessExitWatch() = default;
};

// `on_exit` runs once, never before this has returned; it may destroy the watch.
Result<std::unique_ptr<ProcessExitWatch>> WatchProcessExit(EventLoop& loop, std::shared_ptr<const ProcessRef> process,
                                                           absl::AnyInvocable<void()> on_exit);

}  // namespace lanyard
