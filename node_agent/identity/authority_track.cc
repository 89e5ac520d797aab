#include "node_agent/identity/authority_track.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/identity/disk_patience.h"
#include "node_agent/identity/text.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr seconds kLookAgain{1};      // the wall clock may have been set; a look costs a few comparisons
constexpr seconds kTryAgain{10};      // after a failure
constexpr int kMostStepsAtOnce = 16;  // a schedule that needs more has lost its mind

}  // namespace

Result<CaState> CatchUp(const CaStore& store, CaState state, const RootSettings& settings,
                        std::chrono::seconds usual_lifetime, WallTime now) {
  if (state.longest_lifetime < usual_lifetime) {
    CaState after = state;
    after.longest_lifetime = usual_lifetime;
    // With no root yet this is saved together with the first one.
    if (!state.authorities.empty()) RETURN_IF_ERROR(store.Replace(state, after));
    state = std::move(after);
  }
  for (int taken = 0; taken < kMostStepsAtOnce; ++taken) {
    const auto step = NextStep(state, now);
    if (!step) return state;
    auto after = TakeStep(*step, state, settings, now, std::nullopt);
    if (!after.ok()) return Annotate(after.status(), "{}", CaStepName(*step));
    RETURN_IF_ERROR(Annotate(store.Replace(state, *after), "{}", CaStepName(*step)));
    LANYARD_LOG_INFO("embedded CA: {}: {}", store.directory(), CaStepName(*step));
    state = *std::move(after);
  }
  return Error(StatusCode::kInternal, "the authorities in {} do not come to rest", store.directory());
}

AuthorityTrack::AuthorityTrack(SvidKind kind, RootSettings settings, CaStore store, CaState state, Owner owner,
                               EventLoop& loop, Clock& clock)
    : kind_(kind),
      settings_(std::move(settings)),
      store_(std::move(store)),
      state_(std::make_shared<const CaState>(std::move(state))),
      owner_(std::move(owner)),
      loop_(loop),
      clock_(clock) {}

// For the log and errors. The steps speak of roots; a key for tokens goes through the same ones.
std::string AuthorityTrack::Named(std::string_view what) const {
  const std::string whose =
      kind_ == SvidKind::kX509 ? "embedded CA" : fmt::format("embedded CA ({})", SvidKindName(kind_));
  return what.empty() ? whose : fmt::format("{}: {}", whose, what);
}

void AuthorityTrack::Rotate(Done done) {
  rotations_.push_back(std::move(done));
  Continue();
}

// A root that the wall clock has left signs nothing: whoever asks meanwhile waits for the one that takes over.
void AuthorityTrack::Cover(seconds lifetime, Done done) {
  if (IsCovered(lifetime)) return std::move(done)(OkStatus());
  std::erase_if(uncovered_, [](const Uncovered& one) { return one.asker.expired(); });  // the clock has answered them
  const auto asker = std::make_shared<Done>(std::move(done));
  auto answer =
      WithinDiskPatience(clock_, [asker](Status status) { std::invoke(std::move(*asker), std::move(status)); });
  uncovered_.push_back({lifetime, asker, std::move(answer)});
  Continue();
}

bool AuthorityTrack::IsCovered(seconds lifetime) const {
  return lifetime <= state_->longest_lifetime && IsUsable(state_->Active(), clock_.WallNow());
}

void AuthorityTrack::Continue() {
  if (busy_) return;
  if (!rotations_.empty()) {
    Done done = std::move(rotations_.front());
    rotations_.pop_front();
    return RunStep("rotate", lanyard::Rotate, std::move(done));
  }
  const WallTime now = clock_.WallNow();
  const bool usable = IsUsable(state_->Active(), now);
  if (usable && !uncovered_.empty()) return CoverWaiting();
  const std::optional<CaStep> step = NextStep(*state_, now);
  if (!step && unsaved_) {
    return Run(
        "keep what has retired for longer", [](const CaState& state) -> Result<CaState> { return state; },
        [](const Status&) {});
  }
  if (!step) {
    last_failure_ = OkStatus();
    owner_.on_report();
    return SetAlarm();
  }
  if (!usable && state_->Active() != nullptr && last_failure_.ok()) {
    const Certificate& left = state_->Active()->certificate;
    LANYARD_LOG_WARN("{}: it is {} by the wall clock, and {} is valid from {} to {}: another one signs", Named(""),
                     Utc(now), state_->Active()->id, Utc(left.not_before()), Utc(left.not_after()));
  }
  // Who waits for a root that can sign is not left waiting when none could be made.
  RunStep(CaStepName(*step), std::bind_front(TakeStep, *step), [this](Status status) {
    if (status.ok()) return;
    for (Uncovered& one : std::exchange(uncovered_, {})) std::move(one.done)(status);
  });
}

void AuthorityTrack::CoverWaiting() {
  auto waiting = std::make_shared<decltype(uncovered_)>(std::exchange(uncovered_, {}));
  seconds longest{0};
  for (const Uncovered& one : *waiting) longest = std::max(longest, one.lifetime);
  Done answer = [waiting](const Status& status) {
    for (Uncovered& one : *waiting) std::move(one.done)(status);
  };
  if (IsCovered(longest)) {
    const std::weak_ptr<void> alive = alive_;
    std::move(answer)(OkStatus());
    if (!alive.expired()) Continue();
    return;
  }
  Run(
      "note a longer lifetime",
      [longest](const CaState& state) -> Result<CaState> {
        CaState after = state;
        after.longest_lifetime = std::max(after.longest_lifetime, longest);
        return after;
      },
      std::move(answer));
}

template <class Step>
void AuthorityTrack::RunStep(std::string_view what, Step step, Done done) {
  Run(
      std::string(what),
      [step, settings = settings_, now = clock_.WallNow(), latest = owner_.latest_end()](const CaState& state) {
        return step(state, settings, now, latest);
      },
      std::move(done));
}

void AuthorityTrack::Run(std::string what, Change change, Done done) {
  busy_ = true;
  loop_.ComputeInPool(
      [store = store_, before = state_, change = std::move(change)]() mutable -> Result<CaState> {
        ASSIGN_OR_RETURN(CaState after, change(*before));
        RETURN_IF_ERROR(store.Replace(*before, after));
        return after;
      },
      [this, alive = std::weak_ptr<void>(alive_), what = std::move(what),
       done = std::move(done)](Result<CaState> after) mutable {
        if (alive.expired()) return;
        busy_ = false;
        const Status status = Annotate(after.status(), "{}", Named(what));
        if (after.ok()) {
          LANYARD_LOG_INFO("{}: done", Named(what));
          unsaved_ = KeepForLatest(*after, state_->Active(), owner_.latest_end());
          state_ = std::make_shared<const CaState>(*std::move(after));
          owner_.on_change();
        } else {
          if (last_failure_.ok()) LANYARD_LOG_ERROR("{}", Message(status));
          last_failure_ = status;
          owner_.on_report();
          SetAlarm();
        }
        std::move(done)(status);
        if (alive.expired()) return;
        // After a failure only what somebody waits for goes on at once; the schedule waits for the alarm.
        if (status.ok() || !uncovered_.empty() || !rotations_.empty()) Continue();
      });
}

void AuthorityTrack::SetAlarm() {
  const WallTime now = clock_.WallNow();
  const auto until_next = NextEvent(*state_, now) - now;
  const auto limit = std::chrono::duration_cast<std::chrono::nanoseconds>(last_failure_.ok() ? kLookAgain : kTryAgain);
  alarm_ = clock_.CallAfter(std::min<std::chrono::nanoseconds>(until_next, limit), [this] { Continue(); });
}

}  // namespace lanyard
