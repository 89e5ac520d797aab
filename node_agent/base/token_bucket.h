// How much of a rate is used up: a bucket of tokens that fills again as time passes.
//
// A new bucket is full, and one that has filled again is like new: whoever keeps buckets for strangers may forget a
// full one. Rate and size are given at each use, so that a change of the configuration holds at once.
//
// Thread: one at a time.
#pragma once

#include <algorithm>
#include <chrono>

#include "node_agent/base/clock.h"

namespace lanyard {

struct Rate {
  double per_second;
  double at_once;  // tokens in a full bucket
};

class TokenBucket {
 public:
  // Takes a token if there is one.
  bool Take(const Rate& rate, MonoTime now) {
    Fill(rate, now);
    if (missing_ + 1 > rate.at_once) return false;
    missing_ += 1;
    return true;
  }

  bool HasOne(const Rate& rate, MonoTime now) {
    Fill(rate, now);
    return missing_ + 1 <= rate.at_once;
  }

  bool IsFull(const Rate& rate, MonoTime now) {
    Fill(rate, now);
    return missing_ <= 0;
  }

 private:
  void Fill(const Rate& rate, MonoTime now) {
    const std::chrono::duration<double> passed = now - filled_;
    filled_ = now;
    if (passed.count() > 0) missing_ = std::max(0.0, missing_ - passed.count() * rate.per_second);
  }

  double missing_ = 0;
  MonoTime filled_{};
};

}  // namespace lanyard
