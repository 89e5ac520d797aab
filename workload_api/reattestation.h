// The attestations of one open stream: on rotation, at an interval, and at once when the registry may decide otherwise.
//
// An answer that is definite holds at once: the stream shows what is earned now, or is told that nothing is. When it
// cannot be found out, the stream keeps its set without renewal, and the caller is looked at again every few seconds:
// until there is a definite answer, or until the first SVID in hand expires; then the stream ends with Unavailable. So
// it does when one identity is certainly lost while another cannot be found out: a smaller set is never shown in
// silence.
//
// Nothing newer than what was earned at the last attestation is shown: may_renew() is false from the moment at which an
// SVID was renewed until the caller was attested again.
//
// Lifetime: inside the call's handler, which it may end. Thread: loop.
#pragma once

#include <memory>
#include <optional>

#include "workload_api/caller.h"

namespace lanyard {

// What it asks of its stream.
class ReattestedStream {
 public:
  virtual ~ReattestedStream() = default;
  // The caller earns these now, maybe the same as before.
  virtual void OnEarned(Entries entries) = 0;
  // The stream ends with `why`.
  virtual void OnLost(const Status& why) = 0;
  // When the first SVID that the client has expires; nothing when it has none.
  virtual std::optional<WallTime> InHandUntil() const { return std::nullopt; }
};

class Reattestation {
 public:
  Reattestation(CallerServices& services, Caller& caller, const Call& call, ReattestedStream& stream)
      : services_(services), caller_(caller), call_(call), stream_(stream) {}
  ~Reattestation();

  // The caller was identified and earned `entries`.
  void Begin(Entries entries);
  void OnRegistryChange();
  void OnRenewal();

  // What is newer than what the client has may be shown to it.
  bool may_renew() const { return may_renew_; }
  void OnShown() { may_renew_ = false; }

 private:
  void Look();
  void OnLooked(Result<Entries> entries);
  void Withhold(const Status& why);
  void SetWithheld(bool withheld);
  void LookAfter(std::chrono::nanoseconds about);

  CallerServices& services_;
  Caller& caller_;
  const Call& call_;
  ReattestedStream& stream_;
  Entries earned_;
  bool may_renew_ = false;
  bool withheld_ = false;
  std::unique_ptr<LookTurns::Turn> turn_;
  std::unique_ptr<Clock::Alarm> alarm_;
};

}  // namespace lanyard
