// All attestors asked about one caller, in parallel, under one deadline.
//
// What makes the answer safe to act on is around the attestors, once for all of them. Before: the caller's ids must
// still be those it connected with, so that a child that holds the socket gains nothing when the connector executes a
// setuid program. After: the caller must still be running (then everything read was its own and not a successor's under
// the same pid), with the ids, executable and cgroups it had before. An attestor that fails or misses the deadline
// becomes a gap of its whole type; it never makes the answer smaller in silence.
//
// Lifetime: attestors and the set outlive every Attestation. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "attestors/attestor.h"
#include "attestors/wanted_kinds.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/process.h"

namespace lanyard {

// How long one attestor took, for `lanyard attest` and the metrics.
struct AttestorTime {
  std::string type;
  std::chrono::nanoseconds took;
};

// One attestation under way; destroying it cancels, and `done` then never runs.
class Attestation {
 public:
  virtual ~Attestation() = default;
  // Of the attestors that have answered so far, or been given up.
  virtual const std::vector<AttestorTime>& times() const = 0;
};

class AttestorSet {
 public:
  // Selectors are sorted and without doubles. Errors are about the whole caller:
  //   PermissionDenied  its uid or gid is not what it connected with: it has to connect again
  //   Unavailable       it exited, or changed its ids, executable or cgroup meanwhile; or /proc could not be read
  using Done = absl::AnyInvocable<void(Result<Findings>) &&>;

  AttestorSet(EventLoop& loop, Clock& clock, std::vector<std::unique_ptr<Attestor>> attestors);
  ~AttestorSet();

  // Selectors of kinds that are not `wanted` may be missing without being a gap. `done` runs once, never before
  // Attest() has returned, at the latest when the loop reaches `deadline`; it may destroy the Attestation.
  [[nodiscard]] std::unique_ptr<Attestation> Attest(const PeerProcess& peer, Deadline deadline, Done done,
                                                    WantedKindsPtr wanted = WantedKinds::All());

  // In the order given; for health and `config check`.
  std::vector<std::string_view> types() const;

 private:
  class Run;

  EventLoop& loop_;
  Clock& clock_;
  std::vector<std::unique_ptr<Attestor>> attestors_;
};

}  // namespace lanyard
