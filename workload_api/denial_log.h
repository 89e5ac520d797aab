// Where denials are written down: one log line each, and equal denials of one uid once a minute with their number.
//
// Any process may provoke denials as fast as it likes; the log must not grow with them.
//
// Thread: loop.
#pragma once

#include <cstdint>
#include <string_view>

#include "node_agent/base/clock.h"
#include "node_agent/rpc/call.h"
#include "node_agent/rpc/log_limiter.h"

namespace lanyard {

class DenialLog {
 public:
  explicit DenialLog(const Clock& clock) : clock_(clock) {}

  // `found`: what attestation found, for the operator; the caller is not told.
  void Write(const Call& call, const Status& why, std::string_view found);

  uint64_t denials() const { return denials_; }

 private:
  const Clock& clock_;
  LogLimiter limiter_;
  uint64_t denials_ = 0;
};

}  // namespace lanyard
