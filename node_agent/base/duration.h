// Spans of time as people write them: "90s", "15m", "24h", "1h30m", "500ms".
//
// A number without a unit is an error, never a guess: 90 seconds and 90 minutes are both plausible lifetimes.
//
// Thread: any.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

// Units h, m, s, ms, us and ns, each at most once, largest first; "0s" is valid. No signs, fractions or spaces.
// InvalidArgument says what to write instead. Everything up to 292 years fits.
Result<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// The shortest text that ParseDuration reads back as `duration`: "1h30m", "500ms", "0s". A negative one has a leading
// "-", for people only.
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace lanyard
