// FetchX509SVID and FetchX509Bundles (SPIFFE_Workload_API §5.2): streams of the full state, newest only.
//
// Thread: loop.
#pragma once

#include <memory>

#include "node_agent/rpc/call.h"
#include "workload_api/workload_service.h"

namespace lanyard {

// All SVIDs that the caller earns, in the order of the registry, each with its key and the bundle of its trust domain,
// the bundles of the trust domains that their entries federate with, and the revocation lists of our own. The first
// message comes when every one of them is there. Unavailable when one cannot be issued at first; later the stream stays
// open and goes on with those that can.
std::unique_ptr<CallHandler> MakeX509SvidStream(Call& call, WorkloadServices& services);

// The bundle of the trust domain with its revocation lists, and those that the caller's entries federate with, for
// callers that earn any identity.
std::unique_ptr<CallHandler> MakeX509BundleStream(Call& call, WorkloadServices& services);

}  // namespace lanyard
