// Values of the configuration that several sections have: durations and counts within bounds.
//
// Thread: any.
#pragma once

#include <chrono>

#include "node_agent/base/duration.h"
#include "node_agent/base/status.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// A duration of at least `least` and at most `most`, in whole units of T.
template <class T>
Result<T> ReadDuration(const YamlNode& node, T least, T most) {
  ASSIGN_OR_RETURN(const std::chrono::nanoseconds duration, node.AsDuration());
  const T rounded = std::chrono::duration_cast<T>(duration);
  if (rounded != duration)
    return node.Fail("{} must be a multiple of {}", FormatDuration(duration), FormatDuration(T(1)));
  if (rounded < least)
    return node.Fail("{} is too short, the least is {}", FormatDuration(duration), FormatDuration(least));
  if (rounded > most)
    return node.Fail("{} is too long, the most is {}", FormatDuration(duration), FormatDuration(most));
  return rounded;
}

template <unsigned kLeast, unsigned kMost>
Result<unsigned> ReadCount(const YamlNode& node) {
  ASSIGN_OR_RETURN(const int64_t value, node.AsInt(kLeast, kMost));
  return static_cast<unsigned>(value);
}

}  // namespace lanyard
