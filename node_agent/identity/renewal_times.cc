#include "node_agent/identity/renewal_times.h"

#include <algorithm>

namespace lanyard {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr double kJitter = 0.1;
constexpr seconds kShortestWait{1};
constexpr seconds kFirstRetry{1};
constexpr seconds kLongestRetry{30};
constexpr seconds kSignerSpread{5};

nanoseconds Scale(nanoseconds duration, double factor) {
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double, std::nano>(duration) * factor);
}

}  // namespace

WallTime RenewalTime(WallTime now, WallTime not_after, double random) {
  const nanoseconds wait = Scale(not_after - now, 0.5 * (1 + kJitter * (2 * random - 1)));
  return now + std::max<nanoseconds>(wait, kShortestWait);
}

nanoseconds BatchWindow(nanoseconds life) {
  return life / 10;
}

nanoseconds RetryWait(int failures, double random) {
  const seconds doubled = kFirstRetry * (1 << std::clamp(failures - 1, 0, 5));
  return Scale(std::min(doubled, kLongestRetry), 1 - 0.25 * random);
}

nanoseconds NewSignerWait(nanoseconds life, double random) {
  return Scale(std::min<nanoseconds>(kSignerSpread, life / 10), random);
}

}  // namespace lanyard
