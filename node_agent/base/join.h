// One answer for several asks: OK when all of them were answered OK, else the first error.
//
// Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "node_agent/base/status.h"

namespace lanyard {

class Join {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;

  // `done` runs in the call of the last of `parts` (at least one).
  Join(size_t parts, Done done) : state_(std::make_shared<State>(parts, std::move(done))) {}

  // To be handed out `parts` times; each is called once.
  Done Part() const {
    return [state = state_](Status status) {
      if (state->first_error.ok()) state->first_error = std::move(status);
      if (--state->open == 0) std::move(state->done)(std::move(state->first_error));
    };
  }

 private:
  struct State {
    State(size_t parts, Done then) : open(parts), done(std::move(then)) {}
    size_t open;
    Status first_error;
    Done done;
  };
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
