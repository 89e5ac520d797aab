// The SPIFFE Workload API on the workload socket: which methods there are, and what guards them.
//
// All three profiles are served: X.509-SVID, JWT-SVID and WIT-SVID. Reflection and health stand beside them. Every
// method of the Workload API itself demands the security header (SPIFFE_Workload_Endpoint §3 and §6) before anything
// else; reflection and health, which tell nothing about anybody, do not.
//
// Lifetime: outlives the server that has its methods; borrows what it is given. Thread: loop.
#pragma once

#include <cstdint>
#include <memory>

#include "node_agent/identity/crl_keeper.h"
#include "node_agent/identity/foreign_bundles.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/identity/jwt_svid_cache.h"
#include "node_agent/identity/svid_cache.h"
#include "node_agent/identity/update_hub.h"
#include "node_agent/rpc/call.h"
#include "workload_api/caller.h"
#include "workload_api/response_share.h"

namespace lanyard {

// How the tokens were that callers had validated.
struct ValidationStats {
  uint64_t valid = 0;
  uint64_t refused = 0;
};

// What the methods need of the agent.
struct WorkloadServices {
  CallerServices caller;
  SvidCache& svids;
  WitSvidCache& wits;
  JwtSvidCache& jwts;
  IdentitySource& source;
  CrlKeeper& crls;
  const ForeignBundles& foreign;
  UpdateHub& hub;
  EventLoop& loop;
  ResponseShare responses;
  ValidationStats validations{};
};

// The Workload API's methods, full name to handler.
Methods WorkloadMethods(WorkloadServices& services);

}  // namespace lanyard
