#include "node_agent/identity/root_keeper.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/identity/text.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr seconds kLookAgain{1};      // the wall clock may have been set; a look costs a few comparisons
constexpr seconds kTryAgain{10};      // after a failure
constexpr int kMostStepsAtOnce = 16;  // a schedule that needs more has lost its mind

RootSettings SettingsOf(const CaOptions& options) {
  return {.trust_domain = options.trust_domain, .key_type = options.key_type, .ttl = options.ca_ttl};
}

Result<SigningState> ToSigningState(const CaState& state, const TrustDomain& trust_domain) {
  const Authority* active = state.Active();
  if (active == nullptr) return Error(StatusCode::kFailedPrecondition, "no root is active");
  ASSIGN_OR_RETURN(Issuer issuer, Issuer::Create({active->certificate}, active->key));
  std::vector<Certificate> certificates;
  for (const Authority& authority : state.authorities) certificates.push_back(authority.certificate);
  ASSIGN_OR_RETURN(Bundle bundle, Bundle::Create(trust_domain, std::move(certificates)));
  return SigningState{std::move(issuer), std::move(bundle)};
}

}  // namespace

Result<CaState> CatchUp(const CaStore& store, CaState state, const CaOptions& options, WallTime now) {
  if (state.longest_lifetime < options.usual_leaf_ttl) {
    CaState after = state;
    after.longest_lifetime = options.usual_leaf_ttl;
    // With no root yet this is saved together with the first one.
    if (!state.authorities.empty()) RETURN_IF_ERROR(store.Replace(state, after));
    state = std::move(after);
  }
  for (int taken = 0; taken < kMostStepsAtOnce; ++taken) {
    const auto step = NextStep(state, now);
    if (!step) return state;
    auto after = TakeStep(*step, state, SettingsOf(options), now, std::nullopt);
    if (!after.ok()) return Annotate(after.status(), "{}", CaStepName(*step));
    RETURN_IF_ERROR(Annotate(store.Replace(state, *after), "{}", CaStepName(*step)));
    LANYARD_LOG_INFO("embedded CA: {}", CaStepName(*step));
    state = *std::move(after);
  }
  return Error(StatusCode::kInternal, "the roots in {} do not come to rest", store.directory());
}

std::vector<AuthorityInfo> DescribeRoots(const CaState& state, const std::string& directory) {
  std::vector<AuthorityInfo> infos;
  for (const Authority& authority : state.authorities) {
    AuthorityInfo info{.id = authority.id,
                       .phase = authority.phase,
                       .key_type = std::string(KeyTypeName(authority.key.type())),
                       .not_before = authority.certificate.not_before(),
                       .not_after = authority.certificate.not_after(),
                       .signs_from = std::nullopt,
                       .keep_until = authority.keep_until,
                       .file = directory + "/" + authority.id + ".pem"};
    if (authority.phase == AuthorityPhase::kPrepared && state.Active() != nullptr) {
      info.signs_from = HandoverTime(*state.Active());
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

Result<std::unique_ptr<RootKeeper>> RootKeeper::Start(CaOptions options, const DataDirLock& data_dir, EventLoop& loop,
                                                      Clock& clock) {
  CaStore store(data_dir, options.trust_domain);
  auto loaded = store.Load();
  if (!loaded.ok()) return Annotate(loaded.status(), "load the embedded CA");
  const Found found = loaded->authorities.empty() ? Found::kNothing : Found::kRoots;
  auto state = CatchUp(store, *std::move(loaded), options, clock.WallNow());
  if (!state.ok()) return Annotate(state.status(), "start the embedded CA");
  RETURN_IF_ERROR(ToSigningState(*state, options.trust_domain).status());
  return std::unique_ptr<RootKeeper>(
      new RootKeeper(std::move(options), std::move(store), *std::move(state), found, loop, clock));
}

RootKeeper::RootKeeper(CaOptions options, CaStore store, CaState state, Found found, EventLoop& loop, Clock& clock)
    : options_(std::move(options)),
      store_(std::move(store)),
      state_(std::make_shared<const CaState>(std::move(state))),
      made_anew_(found == Found::kNothing),
      loop_(loop),
      clock_(clock),
      ca_(loop, clock) {
  ca_.SetLifetimeGuard([this](seconds lifetime, Done done) { Cover(lifetime, std::move(done)); });
  InstallState();
  Continue();
}

void RootKeeper::Rotate(Done done) {
  rotations_.push_back(std::move(done));
  Continue();
}

// A root that the wall clock has left signs nothing: whoever asks meanwhile waits for the one that takes over.
void RootKeeper::Cover(seconds lifetime, Done done) {
  if (IsCovered(lifetime)) return std::move(done)(OkStatus());
  uncovered_.emplace_back(lifetime, std::move(done));
  Continue();
}

bool RootKeeper::IsCovered(seconds lifetime) const {
  return lifetime <= state_->longest_lifetime && IsUsable(state_->Active(), clock_.WallNow());
}

void RootKeeper::Continue() {
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
  if (!step) {
    last_failure_ = OkStatus();
    ReportHealth();
    return SetAlarm();
  }
  if (!usable && state_->Active() != nullptr && last_failure_.ok()) {
    const Certificate& left = state_->Active()->certificate;
    LANYARD_LOG_WARN(
        "embedded CA: it is {} by the wall clock, and the root {} is valid from {} to {}: another one signs", Utc(now),
        state_->Active()->id, Utc(left.not_before()), Utc(left.not_after()));
  }
  // Who waits for a root that can sign is not left waiting when none could be made.
  RunStep(CaStepName(*step), std::bind_front(TakeStep, *step), [this](Status status) {
    if (status.ok()) return;
    for (auto& [lifetime, done] : std::exchange(uncovered_, {})) std::move(done)(status);
  });
}

void RootKeeper::CoverWaiting() {
  auto waiting = std::make_shared<decltype(uncovered_)>(std::exchange(uncovered_, {}));
  seconds longest{0};
  for (const auto& [lifetime, done] : *waiting) longest = std::max(longest, lifetime);
  Done answer = [waiting](Status status) {
    for (auto& [lifetime, done] : *waiting) std::move(done)(status);
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
void RootKeeper::RunStep(std::string_view what, Step step, Done done) {
  Run(
      std::string(what),
      [step, settings = SettingsOf(options_), now = clock_.WallNow(),
       latest = ca_.latest_leaf_end()](const CaState& state) { return step(state, settings, now, latest); },
      std::move(done));
}

void RootKeeper::Run(std::string what, Change change, Done done) {
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
        const Status status = Annotate(after.status(), "embedded CA: {}", what);
        if (after.ok()) {
          LANYARD_LOG_INFO("embedded CA: {}: done", what);
          state_ = std::make_shared<const CaState>(*std::move(after));
          InstallState();
        } else {
          if (last_failure_.ok()) LANYARD_LOG_ERROR("{}", Message(status));
          last_failure_ = status;
          ReportHealth();
          SetAlarm();
        }
        std::move(done)(status);
        if (alive.expired()) return;
        // After a failure only what somebody waits for goes on at once; the schedule waits for the alarm.
        if (status.ok() || !uncovered_.empty() || !rotations_.empty()) Continue();
      });
}

void RootKeeper::InstallState() {
  auto signing = ToSigningState(*state_, options_.trust_domain);
  if (signing.ok()) {
    ca_.Install(*std::move(signing));
  } else {
    ca_.Withdraw(signing.status());
  }
  ReportHealth();
}

void RootKeeper::SetAlarm() {
  const WallTime now = clock_.WallNow();
  const auto until_next = NextEvent(*state_, now) - now;
  const auto limit = std::chrono::duration_cast<std::chrono::nanoseconds>(last_failure_.ok() ? kLookAgain : kTryAgain);
  alarm_ = clock_.CallAfter(std::min<std::chrono::nanoseconds>(until_next, limit), [this] { Continue(); });
}

std::vector<AuthorityInfo> RootKeeper::Show() const {
  return DescribeRoots(*state_, store_.directory());
}

void RootKeeper::ReportHealth() {
  const Authority* active = state_->Active();
  if (active == nullptr) return;  // withdrawn, and EmbeddedCa says so
  const WallTime end = active->certificate.not_after();
  if (clock_.WallNow() < active->certificate.not_before()) {
    return ca_.SetHealth(
        {HealthLevel::kBroken, fmt::format("By the wall clock the root {} begins only on {}. {}", active->id,
                                           Utc(active->certificate.not_before()), Message(last_failure_))});
  }
  if (end <= clock_.WallNow()) {
    return ca_.SetHealth({HealthLevel::kBroken, fmt::format("The root {} has expired on {}. {}", active->id, Utc(end),
                                                            Message(last_failure_))});
  }
  if (!last_failure_.ok()) {
    return ca_.SetHealth({HealthLevel::kDegraded, fmt::format("The root {} signs until {}, but: {}.", active->id,
                                                              Utc(end), Message(last_failure_))});
  }
  std::string text = fmt::format("The root {} signs until {}; the next one takes over on {}.", active->id, Utc(end),
                                 Utc(HandoverTime(*active)));
  for (const Authority& authority : state_->authorities) {
    if (!authority.may_return) continue;
    text += fmt::format(" The root {} (from {} to {}) was set aside when the wall clock left its dates.", authority.id,
                        Utc(authority.certificate.not_before()), Utc(authority.certificate.not_after()));
  }
  ca_.SetHealth({HealthLevel::kGood, std::move(text)});
}

}  // namespace lanyard
