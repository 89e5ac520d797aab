// The file descriptor numbers that connections get: ever rising, above all other fds.
//
// gRPC names the connection of a call by its fd number only ("fd:17"). A number that is given out again at once could
// name another process's connection, so connections are moved to numbers that rise through a window and come round only
// after it is used up. Everything else (files, pidfds) takes the lowest free number and stays below the window: as many
// numbers are left there as connections are allowed, plus a reserve.
//
// Thread: Reserve before any thread is started (it grows the kernel's fd table once; later that would stop the process
// for 10 ms); Move on the loop thread only, which makes a number in the window stable for as long as nobody on the loop
// moves another fd.
#pragma once

#include <cstddef>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard {

class FdWindow {
 public:
  // Raises the soft limit of open files towards the hard one and lays the window out. ResourceExhausted when the limit
  // leaves no room.
  static Result<FdWindow> Reserve();
  // The numbers [low, high), for tests.
  FdWindow(int low, int high) : low_(low), high_(high), next_(low) {}

  // Moves `fd` to the next free number. ResourceExhausted when every number of the window is in use.
  Result<UniqueFd> Move(UniqueFd fd);

  size_t size() const { return static_cast<size_t>(high_ - low_); }
  int low() const { return low_; }
  int high() const { return high_; }

 private:
  int low_;
  int high_;
  int next_;
};

}  // namespace lanyard
