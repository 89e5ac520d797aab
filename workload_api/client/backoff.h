// How long to wait before asking again: from a quarter of a second to five seconds, each with up to half of it taken
// off, so that a thousand clients do not come back at once. Not longer: who is asked is on the same machine.
//
// Thread: any, one at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace lanyard {

class Backoff {
 public:
  std::chrono::milliseconds Next() {
    const auto now = next_;
    next_ = std::min(next_ * 2, kLongest);
    return now - std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, now.count() / 2)(random_));
  }
  void Reset() { next_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{250}, kLongest{5000};
  std::chrono::milliseconds next_ = kFirst;
  std::mt19937_64 random_{std::random_device{}()};
};

}  // namespace lanyard
