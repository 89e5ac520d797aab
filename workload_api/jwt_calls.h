// FetchJWTSVID and ValidateJWTSVID (SPIFFE_Workload_API §6.2): one question, one answer.
//
// Thread: loop.
#pragma once

#include <memory>

#include "node_agent/rpc/call.h"
#include "workload_api/workload_service.h"

namespace lanyard {

inline constexpr int kMostAudiences = 64;

// A JWT-SVID for the audiences asked for, of every identity that the caller earns or of the one that it asks for, in
// the order of the registry, from the cache where one is there. InvalidArgument without an audience, with an empty one,
// with more than kMostAudiences, or with ones that their record could not show whole and as they are (more than 1,000
// bytes together; a blank, control character, quotation mark or backslash in one); PermissionDenied when the identity
// asked for is not the caller's; Unavailable when one cannot be signed, or when an identity was taken away while it
// was.
std::unique_ptr<CallHandler> MakeJwtSvidCall(Call& call, WorkloadServices& services);

// Whether a token is a JWT-SVID that counts for an audience here and now, and what it says. The keys are those that
// FetchJWTBundles shows to this caller, so it must earn an identity. Nothing is handed out, and nothing put on record.
// InvalidArgument with the reason when it does not count. Unavailable when there are no keys of our own to see by.
std::unique_ptr<CallHandler> MakeJwtValidation(Call& call, WorkloadServices& services);

}  // namespace lanyard
