// What the decision for a call needs of the agent, for all calls together.
//
// Lifetime: outlives the calls. Thread: loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "attestors/attestation.h"
#include "node_agent/base/clock.h"
#include "node_agent/registry/registry_store.h"
#include "workload_api/access_log.h"
#include "workload_api/denial_memory.h"
#include "workload_api/identity_limits.h"
#include "workload_api/look_turns.h"

namespace lanyard {

// How attestations of open streams ended.
struct LookStats {
  uint64_t same = 0;
  uint64_t changed = 0;       // the stream was shown other identities
  uint64_t lost = 0;          // the stream was ended: nothing is earned any more
  uint64_t undetermined = 0;  // could not be found out
  size_t withheld = 0;        // streams that keep what they have without renewal, now
};

// Uniform in [0, 1).
using Random = std::function<double()>;
Random MakeRandom();

struct CallerServices {
  AttestorSet& attestors;
  const RegistryStore& registry;
  Clock& clock;
  AccessLog& access;
  std::chrono::milliseconds attestation_timeout{5000};
  // How often the caller of an open stream is attested again, give or take a quarter.
  std::chrono::milliseconds reattestation_interval = std::chrono::minutes(1);
  IdentityLimits identities{clock};
  DenialMemory denials{clock};
  LookTurns looks{clock};
  LookStats look_stats{};
  Random random = MakeRandom();
};

}  // namespace lanyard
