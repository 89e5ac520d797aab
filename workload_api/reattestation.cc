#include "workload_api/reattestation.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

constexpr std::chrono::seconds kAskAgain{5};  // what could not be found out
constexpr std::chrono::milliseconds kLastLook{500};

}  // namespace

Reattestation::~Reattestation() {
  SetWithheld(false);
}

void Reattestation::Begin(Entries entries) {
  earned_ = std::move(entries);
  may_renew_ = true;
  LookAfter(services_.reattestation_interval);
}

void Reattestation::OnRegistryChange() {
  if (withheld_ || !caller_.StillEarns(earned_)) Look();
}

void Reattestation::OnRenewal() {
  may_renew_ = false;
  Look();
}

// Some sooner, some later: streams that came at once, after a restart, do not stay together.
void Reattestation::LookAfter(std::chrono::nanoseconds about) {
  const std::chrono::duration<double, std::nano> wait = about * (0.75 + services_.random() / 2);
  alarm_ = services_.clock.CallAfter(std::chrono::duration_cast<std::chrono::nanoseconds>(wait), [this] { Look(); });
}

void Reattestation::Look() {
  if (turn_ != nullptr) return;  // what is found and decided will be as things are then
  alarm_.reset();
  turn_ = services_.looks.Wait(call_.connection()->account.get(), [this] {
    caller_.LookAgain([this](Result<Entries> entries) { OnLooked(std::move(entries)); });
  });
}

void Reattestation::OnLooked(Result<Entries> entries) {
  turn_.reset();
  if (entries.ok()) {
    SetWithheld(false);
    may_renew_ = true;
    ++(*entries == earned_ ? services_.look_stats.same : services_.look_stats.changed);
    earned_ = *entries;
    LookAfter(services_.reattestation_interval);
    return stream_.OnEarned(*std::move(entries));
  }
  const Status& why = entries.status();
  if (why.code() == StatusCode::kUnavailable) {
    ++services_.look_stats.undetermined;
    if (!caller_.HasLost(earned_)) return Withhold(why);
    caller_.RecordDenial(why);
  }
  ++services_.look_stats.lost;
  stream_.OnLost(why);
}

void Reattestation::Withhold(const Status& why) {
  const std::optional<WallTime> until = stream_.InHandUntil();
  const WallTime now = services_.clock.WallNow();
  if (withheld_ && until && *until <= now)
    return stream_.OnLost(Annotate(why, "the SVID has expired while it could not be renewed"));
  if (!withheld_) caller_.RecordWithheld(Annotate(why, "the open stream keeps what it has, without renewal"));
  SetWithheld(true);
  may_renew_ = false;
  LookAfter(kAskAgain);
  // One more look at the end. (After a suspend both the look and the SVID may be over at once.)
  if (until && *until < now + kAskAgain)
    alarm_ = services_.clock.CallAfter(std::max<std::chrono::nanoseconds>(*until - now, kLastLook), [this] { Look(); });
}

void Reattestation::SetWithheld(bool withheld) {
  if (std::exchange(withheld_, withheld) == withheld) return;
  services_.look_stats.withheld += withheld ? 1 : -1;
}

}  // namespace lanyard
