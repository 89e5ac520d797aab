// One line of self-made authorities through its life: made, prepared, signing, retired, gone.
//
// The embedded CA has three of them, for X.509-SVIDs, JWT-SVIDs and WIT-SVIDs, each with keys and a directory of its
// own. What happens when is decided by ca_schedule.h; this class does it: each step is made durable in the pool, then
// taken over on the loop and told, one step at a time. It looks again whenever the next step falls due and every
// second, since the wall clock may be set; whoever asks for an SVID in between, after the clock has left the dates of
// the active authority, waits for its successor, but not for longer than kDiskPatience. A step that fails (disk full)
// is tried again; meanwhile the active one signs on until it expires. While a step is being written it signs on as
// well; should what it signs then end later than the step had reckoned with, that is made durable right after.
//
// Lifetime: borrows the loop, the clock and its owner, who destroys it. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/identity/ca_schedule.h"
#include "node_agent/identity/ca_store.h"

namespace lanyard {

class AuthorityTrack {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;

  struct Owner {
    std::function<void()> on_change;  // state() is another now
    std::function<void()> on_report;  // last_failure() may be another, or the time has come to look at the dates again
    std::function<std::optional<WallTime>()> latest_end;  // of any SVID that the active authority has signed
  };

  // Begins with the first call of Continue().
  AuthorityTrack(SvidKind kind, RootSettings settings, CaStore store, CaState state, Owner owner, EventLoop& loop,
                 Clock& clock);

  // Starts what has to be done next, unless something is being done; else sets the alarm.
  void Continue();
  void Rotate(Done done);
  // Answers `done` once SVIDs of `lifetime` are covered on disk, and an authority can sign them; Unavailable while the
  // disk is silent.
  void Cover(std::chrono::seconds lifetime, Done done);

  const CaState& state() const { return *state_; }
  const Status& last_failure() const { return last_failure_; }
  const std::string& directory() const { return store_.directory(); }

 private:
  using Change = absl::AnyInvocable<Result<CaState>(const CaState&)>;
  // Who waits in Cover().
  struct Uncovered {
    std::chrono::seconds lifetime;
    std::weak_ptr<Done> asker;  // gone once it was answered, maybe by the clock
    Done done;
  };

  bool IsCovered(std::chrono::seconds lifetime) const;
  void CoverWaiting();
  void Run(std::string what, Change change, Done done);
  template <class Step>
  void RunStep(std::string_view what, Step step, Done done);
  void SetAlarm();
  std::string Named(std::string_view what) const;

  const SvidKind kind_;
  const RootSettings settings_;
  const CaStore store_;
  std::shared_ptr<const CaState> state_;
  Owner owner_;
  EventLoop& loop_;
  Clock& clock_;
  bool busy_ = false;
  bool unsaved_ = false;  // state() says of a retired authority that it stays for longer than the disk does
  Status last_failure_;
  std::deque<Done> rotations_;
  std::vector<Uncovered> uncovered_;
  std::unique_ptr<Clock::Alarm> alarm_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

// Brings `state` up to `now`, durably, and able to cover SVIDs of `usual_lifetime`; what a start does before anything
// is served.
Result<CaState> CatchUp(const CaStore& store, CaState state, const RootSettings& settings,
                        std::chrono::seconds usual_lifetime, WallTime now);

}  // namespace lanyard
