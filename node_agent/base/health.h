// How well a part of the agent does, in a sentence for people.
//
// Thread: any; a value.
#pragma once

#include <string>

namespace lanyard {

enum class HealthLevel {
  kGood,
  kDegraded,  // everything is served now, but somebody should look before it is not
  kBroken,    // something is not served
};

struct HealthReport {
  HealthLevel level = HealthLevel::kGood;
  std::string text;  // one or more short sentences; never secrets
};

}  // namespace lanyard
