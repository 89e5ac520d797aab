// All attestors asked about one caller, in parallel, under one deadline.
//
// Those that ask a service come second: they are asked when what the kernel says leaves open whether they matter for
// this caller, each with its own limit of time, which may be longer. Nobody is waited for whose answer can change
// nothing any more, so that a slow service delays only callers whose identities depend on it.
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
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attestors/attestor.h"
#include "attestors/wanted_kinds.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/histogram.h"
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

// How attempts of one attestor ended.
struct AttestorStats {
  std::string type;
  uint64_t answered = 0;
  uint64_t incomplete = 0;  // answered, with gaps
  uint64_t failed = 0;
  uint64_t late = 0;
  uint64_t spared = 0;  // not asked, or not waited for: it could change nothing
  std::unique_ptr<Histogram> seconds = std::make_unique<Histogram>(LatencyBuckets());  // of all that were asked
};

// What the one who asks is interested in.
struct AttestationScope {
  // Selectors of other kinds may be missing without being a gap.
  WantedKindsPtr wanted = WantedKinds::All();
  // True when the gaps of `so_far` from the `open`th on, of which attestors have not answered yet, can change nothing
  // that matters. Without one everything wanted is found out.
  std::function<bool(const Findings& so_far, size_t open)> enough{};
  // After which nothing is waited for, services neither.
  std::optional<Deadline> latest = std::nullopt;
};

class AttestorSet {
 public:
  // Selectors are sorted and without doubles. Errors are about the whole caller:
  //   PermissionDenied  its uid or gid is not what it connected with: it has to connect again
  //   Unavailable       it exited, or changed its ids, executable or cgroup meanwhile; or /proc could not be read
  using Done = absl::AnyInvocable<void(Result<Findings>) &&>;

  AttestorSet(EventLoop& loop, Clock& clock, std::vector<std::unique_ptr<Attestor>> attestors);
  ~AttestorSet();

  // `done` runs once, never before Attest() has returned; it may destroy the Attestation. What the kernel says is
  // waited for until the loop reaches `deadline`, what a service says for the limit of each. What was left open because
  // it was enough is a gap with the code Cancelled.
  [[nodiscard]] std::unique_ptr<Attestation> Attest(const PeerProcess& peer, Deadline deadline, Done done,
                                                    AttestationScope scope = {});

  const std::vector<AttestorStats>& stats() const { return stats_; }
  // Of those whose health is not OK: type and reason.
  std::vector<std::pair<std::string_view, Status>> problems() const;

 private:
  class Run;

  EventLoop& loop_;
  Clock& clock_;
  std::vector<std::unique_ptr<Attestor>> attestors_;
  std::vector<AttestorStats> stats_;  // in the order of attestors_
};

}  // namespace lanyard
