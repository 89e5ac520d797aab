// What became of many calls, and how long each took.
//
// Thread: one.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace lanyard::bench {

struct Tally {
  std::vector<double> micros;  // of those that succeeded
  size_t failed = 0;
  size_t message_bytes = 0;  // of the last answer
  double seconds = 0;        // for all of them

  // As one JSON object a line, latencies sorted.
  void Print() {
    std::sort(micros.begin(), micros.end());
    std::string all;
    for (const double one : micros) all += fmt::format("{}{:.1f}", all.empty() ? "" : ", ", one);
    fmt::print("{{\"calls\": {}, \"failed\": {}, \"seconds\": {:.6f}, \"message_bytes\": {}, \"micros\": [{}]}}\n",
               micros.size(), failed, seconds, message_bytes, all);
  }
};

}  // namespace lanyard::bench
