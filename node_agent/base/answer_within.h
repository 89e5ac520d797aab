// An answer that comes in time: from whoever was asked, or from the clock.
//
// Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <utility>

#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"

namespace lanyard {

// To be handed to whoever is asked. `done` gets what that answers, or `late` once `limit` has passed; an answer after
// that is dropped. Never called when the returned function is destroyed before either.
inline absl::AnyInvocable<void(Status) &&> AnswerWithin(Clock& clock, std::chrono::nanoseconds limit, Status late,
                                                        absl::AnyInvocable<void(Status) &&> done) {
  struct Waiting {
    absl::AnyInvocable<void(Status) &&> done;  // empty once it was called
    std::unique_ptr<Clock::Alarm> alarm{};

    void Finish(Status status) {
      alarm.reset();
      if (done) std::move(std::exchange(done, nullptr))(std::move(status));
    }
  };
  const auto waiting = std::make_shared<Waiting>(Waiting{.done = std::move(done)});
  waiting->alarm = clock.CallAfter(limit, [weak = std::weak_ptr<Waiting>(waiting), late = std::move(late)]() mutable {
    if (const auto still = weak.lock()) still->Finish(std::move(late));
  });
  return [waiting](Status status) { waiting->Finish(std::move(status)); };
}

}  // namespace lanyard
