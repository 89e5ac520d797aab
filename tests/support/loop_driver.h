// Runs an EventLoop inside a test until something is true, bounded by a generous time so that a failure ends.
#pragma once

#include <chrono>

#include "node_agent/base/event_loop.h"

namespace lanyard {

template <class Predicate>
bool RunUntil(EventLoop& loop, Predicate done, std::chrono::seconds limit = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop.RunOnce(10);
  }
  return true;
}

// Runs until no task is queued and nothing is in the pool.
inline bool RunUntilIdle(EventLoop& loop) {
  loop.RunOnce(0);
  return RunUntil(loop, [&] { return !loop.HasPendingWork(); });
}

}  // namespace lanyard
