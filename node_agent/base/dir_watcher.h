// Tells when files or directories may have changed: inotify, with one call per burst.
//
// Each path is a file or a directory, there or not. Watched are the directory itself, the directories that its symlinks
// lead through (so that the `..data` swap of a Kubernetes ConfigMap and a link to a file elsewhere are both seen) and
// all directories above, so that a path that vanishes and comes back is noticed. What exactly changed is not told: the
// reader reads again, compares, and decides. A call may therefore come without a change; a change never goes without a
// call: an overflow of the kernel's queue counts as one.
//
// The watches are set again before each call, so a change that the reader misses brings another call.
//
// Lifetime: destroying the watcher ends the calls. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct DirWatcherOptions {
  std::chrono::milliseconds quiet{50};      // the call comes when nothing has happened for so long,
  std::chrono::milliseconds longest{1000};  // or so long after the first event of a burst that does not end
};

class DirWatcher {
 public:
  virtual ~DirWatcher() = default;

  // OK, or why some path is not watched now: the kernel's limits (ResourceExhausted, naming the sysctl to raise) or
  // permissions. Tried again at each call.
  virtual Status health() const = 0;
};

// `on_change` runs on the loop, never before this has returned; it may destroy the watcher. An error when inotify
// itself cannot be had.
Result<std::unique_ptr<DirWatcher>> WatchPaths(EventLoop& loop, Clock& clock, std::vector<std::string> paths,
                                               absl::AnyInvocable<void()> on_change, DirWatcherOptions options = {});

}  // namespace lanyard
