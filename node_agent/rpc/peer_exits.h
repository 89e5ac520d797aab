// Which connections a process made, and when that process ends.
//
// A connection must not outlive the process that it was attested for, whoever else holds its descriptor. One watch for
// each process, however many connections it has.
//
// Lifetime: the loop outlives it. Thread: loop.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "node_agent/base/event_loop.h"
#include "node_agent/base/process.h"
#include "node_agent/base/process_exit_watcher.h"

namespace lanyard {

class PeerExits {
 public:
  // The process has ended; it is still listed while this runs.
  using OnExit = std::function<void(const ProcessRef&, const std::vector<int>& fds)>;

  PeerExits(EventLoop& loop, OnExit on_exit) : loop_(loop), on_exit_(std::move(on_exit)) {}

  // An error when the process cannot be watched: then nothing is kept.
  Status Add(const std::shared_ptr<const ProcessRef>& process, int fd);
  void Remove(const ProcessRef& process, int fd);

 private:
  struct Process {
    std::unique_ptr<ProcessExitWatch> watch;
    std::vector<int> fds;
  };

  EventLoop& loop_;
  OnExit on_exit_;
  std::unordered_map<const ProcessRef*, Process> processes_;  // those with connections
};

}  // namespace lanyard
