// When a burst is over: the load has fallen to half of its peak, and the peak was worth it.
//
// glibc keeps what a burst has used, so memory is given back to the kernel then: once for each halving, never on a
// timer, which would cost time under steady load and gain nothing.
//
// Thread: any, one at a time.
#pragma once

#include <algorithm>
#include <cstddef>

namespace lanyard {

class LoadPeak {
 public:
  static constexpr size_t kWorthIt = 256;

  void Reach(size_t load) { peak_ = std::max(peak_, load); }

  // True once: the next peak begins at `load`.
  bool FellByHalf(size_t load) {
    if (peak_ < kWorthIt || load > peak_ / 2) return false;
    peak_ = load;
    return true;
  }

 private:
  size_t peak_ = 0;
};

}  // namespace lanyard
