// Health in words: what is wrong with the agent now, how bad it is, and what to do about it.
//
// Thread: loop.
#pragma once

#include <vector>

#include "node_agent/admin/admin_service.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/svid_cache.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/server.h"

namespace lanyard {

struct HealthSources {
  const RegistryStore& registry;
  const CaKeeper& ca;
  const SvidCache& svids;
  const RpcServer* workload;  // null until it serves
};

// Worst first; empty when all is well.
std::vector<HealthFinding> CollectFindings(const HealthSources& sources);

}  // namespace lanyard
