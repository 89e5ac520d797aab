// Clocks of the load generator, as Python's time.monotonic() and time.time() read them.
#pragma once

#include <ctime>

namespace lanyard::bench {

inline double ReadClock(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

inline double MonotonicSeconds() {
  return ReadClock(CLOCK_MONOTONIC);
}
inline double WallSeconds() {
  return ReadClock(CLOCK_REALTIME);
}

}  // namespace lanyard::bench
