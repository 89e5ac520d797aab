// AttestProcess: what the attestors find out about a process, and what the registry makes of it.
//
// Asks the same attestors in the same way as for a caller of the Workload API, for every kind of selector, whether an
// entry names it or not. It decides nothing: the process gets no identity by it, and no limit counts it.
//
// Thread: loop. The handler's end cancels.
#pragma once

#include <chrono>
#include <memory>

#include "attestors/attestation.h"
#include "node_agent/base/clock.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/call.h"

namespace lanyard {

// What it works with; borrowed.
struct AttestServices {
  AttestorSet& attestors;
  const RegistryStore& registry;
  Clock& clock;
  const std::chrono::milliseconds& timeout;  // of one attestation: that of callers, also when it changes
};

std::unique_ptr<CallHandler> MakeAttestProcess(Call& call, const AttestServices& services);

}  // namespace lanyard
