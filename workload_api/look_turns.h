// Attestations of open streams, a few at a time.
//
// A rotation, a change of the registry or a restart can ask for thousands of them at once. Each takes a tenth of a
// millisecond of the loop, and one that waits for a file system holds a descriptor; so a few are begun before the loop
// looks after everything else, few are under way at once, and of these few belong to one owner (the account of the
// connection): a caller whose looks hang delays its own streams and not those of others.
//
// Lifetime: the clock outlives it; a Turn may outlive it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <memory>

#include "node_agent/base/clock.h"

namespace lanyard {

class LookTurns {
 public:
  using Owner = const void*;
  using Begin = absl::AnyInvocable<void()>;

  // A place in the line, then one of those under way. Destroy it when the look is over, or to leave the line.
  struct Turn {
    virtual ~Turn() = default;
  };

  explicit LookTurns(Clock& clock);
  ~LookTurns();

  // `begin` runs once, never before Wait has returned.
  [[nodiscard]] std::unique_ptr<Turn> Wait(Owner owner, Begin begin);

  size_t waiting() const;
  size_t under_way() const;
  size_t owners() const;  // of these and those

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
