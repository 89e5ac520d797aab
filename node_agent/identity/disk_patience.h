// What becomes of whoever waits for a disk that is silent: the disk may hang for ever, but nobody waits for longer than
// kDiskPatience.
//
// Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <string_view>
#include <utility>

#include "node_agent/base/answer_within.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/duration.h"
#include "node_agent/base/status.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

// To be handed to whoever asks the disk. `done` gets its answer, or Unavailable when it is late (answer_within.h).
inline absl::AnyInvocable<void(Status) &&> WithinDiskPatience(Clock& clock, absl::AnyInvocable<void(Status) &&> done,
                                                              std::string_view disk = "the disk") {
  Status silent = Error(StatusCode::kUnavailable, "{} has not answered for {}; see whether it does", disk,
                        FormatDuration(kDiskPatience));
  return AnswerWithin(clock, kDiskPatience, std::move(silent), std::move(done));
}

}  // namespace lanyard
