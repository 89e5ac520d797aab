// The whole contract of an attestor: facts about one process become selectors.
//
// An attestor says what is so and never what it is worth. Finding nothing is an answer; not being able to find out is a
// gap (for some of its selectors) or an error (for all of them), and nothing that depends on those selectors may be
// issued.
//
// Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attestors/selector.h"
#include "attestors/subject.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"

namespace lanyard {

// Selectors at or below `prefix` (all of them, or up to one of their colons) could not be found out: "unix",
// "unix:sha256", "process:cgroup:cpu:/work".
struct Gap {
  std::string prefix;
  Status why;
};

struct Findings {
  std::vector<Selector> selectors;
  std::vector<Gap> gaps;
};

class Attestor {
 public:
  // Destroy it to cancel; `done` then never runs.
  struct Attempt {
    virtual ~Attempt() = default;
    // What has been found out so far, with gaps for the rest. Without a value everything of this type is a gap.
    virtual std::optional<Findings> SoFar() const { return std::nullopt; }
  };
  using Done = absl::AnyInvocable<void(Result<Findings>) &&>;

  virtual ~Attestor() = default;
  // The type of its selectors, e.g. "docker".
  virtual std::string_view type() const = 0;
  // How long it may take at most, when it asks a service (a container engine, the service manager): then it is only
  // asked when what the kernel says leaves open whether its answer matters. Without a value it asks the kernel alone.
  virtual std::optional<std::chrono::milliseconds> service_limit() const { return std::nullopt; }
  // Why it can find nothing out now, as far as it knows; for health.
  virtual Status health() const { return OkStatus(); }
  // `done` runs once, on the loop thread, after Attest() has returned; it may destroy the attempt. No selectors means
  // "not my kind of process"; an error means "could not find out". `deadline` is a hint (for requests to elsewhere):
  // the AttestorSet keeps it, and cancels.
  [[nodiscard]] virtual std::unique_ptr<Attempt> Attest(std::shared_ptr<const Subject> subject, Deadline deadline,
                                                        Done done) = 0;
};

}  // namespace lanyard
