// How often values fell into which bucket, for one metric.
//
// Thread: any (the library locks).
#pragma once

#include <chrono>

#include <prometheus/histogram.h>

namespace lanyard {

using Histogram = prometheus::Histogram;

// Buckets for the time that a local disk, an attestor or a signature takes: 100 us to 10 s, in seconds.
inline Histogram::BucketBoundaries LatencyBuckets() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10};
}

inline void ObserveTime(Histogram& histogram, std::chrono::nanoseconds time) {
  histogram.Observe(std::chrono::duration<double>(time).count());
}

}  // namespace lanyard
