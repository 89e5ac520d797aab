// What the readers of the configuration's sections have in common: durations and counts within bounds, and taking a
// value that may be absent.
//
// Thread: any.
#pragma once

#include <chrono>
#include <string_view>
#include <utility>

#include "node_agent/base/duration.h"
#include "node_agent/base/status.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// Where `key` is absent, or its value is an error, which is gathered, the default stays.
template <class T, class Read>
void SetValue(const YamlNode& map, std::string_view key, T& target, YamlErrors& errors, Read read) {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  if (auto value = errors.Take(read(*node))) target = *std::move(value);
}

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
