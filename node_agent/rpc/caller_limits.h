// What one caller may have and do before it is known who it is. "One caller" is an account (account.h).
//
// An honest node never meets the defaults. A rate may be exceeded by a burst: after a pause as many connections or
// calls may come at once as may be open, so that a cgroup with a thousand streams comes back after a restart of the
// agent.
//
// What one connection may do is the same for everybody and not configured (grpc_setup.cc): 100 calls open at
// once, messages of 16,384 bytes, metadata of 8,192 bytes, a keepalive ping every 5 seconds.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "node_agent/base/token_bucket.h"

namespace lanyard {

struct CallerLimits {
  unsigned connections = 1000;  // open at once
  unsigned connections_per_second = 500;
  unsigned calls_per_second = 1000;
  unsigned calls_in_flight = 500;  // that have no answer yet
  unsigned streams = 2000;         // calls that are not over, those in flight included

  Rate connection_rate() const {
    return {static_cast<double>(connections_per_second), static_cast<double>(connections)};
  }
  Rate call_rate() const { return {static_cast<double>(calls_per_second), static_cast<double>(streams)}; }
  friend bool operator==(const CallerLimits&, const CallerLimits&) = default;
};

// Which of them was exceeded.
enum class CallerLimit { kConnections, kConnectionRate, kCallRate, kCallsInFlight, kStreams };

// By CallerLimit; the names of the configuration.
inline constexpr std::array<std::string_view, 5> kCallerLimitNames = {"connections", "connections_per_second",
                                                                      "calls_per_second", "calls_in_flight", "streams"};

}  // namespace lanyard
