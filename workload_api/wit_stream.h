// FetchWITSVID (SPIFFE_Workload_API §7.2.1): a stream of the full state, newest only.
//
// Thread: loop.
#pragma once

#include <memory>

#include "node_agent/rpc/call.h"
#include "workload_api/workload_service.h"

namespace lanyard {

// The WIT-SVIDs that the caller earns, or the one that it asks for, in the order of the registry, each with its private
// key as a JWK.
std::unique_ptr<CallHandler> MakeWitSvidStream(Call& call, WorkloadServices& services);

}  // namespace lanyard
