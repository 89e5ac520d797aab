// FetchJWTBundles and FetchWITBundles (SPIFFE_Workload_API §6.2.2, §7.2.2): the keys that tokens are verified with, as
// a JWK Set for each trust domain: our own, and those that the caller's entries federate with. For callers that earn
// any identity. Equal keys are never sent twice in a row. Unavailable while there are none of our own: an empty set
// would say that nobody is to be believed.
//
// Thread: loop.
#pragma once

#include <memory>

#include "node_agent/identity/identity_source.h"
#include "node_agent/rpc/call.h"
#include "workload_api/workload_service.h"

namespace lanyard {

std::unique_ptr<CallHandler> MakeJwtBundleStream(Call& call, WorkloadServices& services);
std::unique_ptr<CallHandler> MakeWitBundleStream(Call& call, WorkloadServices& services);

// Unavailable: there are no keys of our own for this kind of token, and why.
Status NoTokenKeys(const IdentitySource& source, SvidKind kind);

}  // namespace lanyard
