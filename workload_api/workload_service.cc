#include "workload_api/workload_service.h"

#include <string>

#include "workload_api/jwt_calls.h"
#include "workload_api/token_bundle_streams.h"
#include "workload_api/wit_stream.h"
#include "workload_api/x509_streams.h"

namespace lanyard {
namespace {

// SPIFFE_Workload_Endpoint §3 and §6: the metadata key workload.spiffe.io with the one value "true", so that a request
// forged through some other service (SSRF) is refused.
Status CheckSecurityHeader(const Call& call) {
  const auto values = call.Metadata("workload.spiffe.io");
  if (values.size() == 1 && values.front() == "true") return OkStatus();
  return Error(StatusCode::kInvalidArgument,
               "security header missing from request: metadata workload.spiffe.io must be given once, as true");
}

HandlerFactory Guarded(HandlerFactory make) {
  return [make = std::move(make)](Call& call) -> std::unique_ptr<CallHandler> {
    if (Status header = CheckSecurityHeader(call); !header.ok()) {
      call.Finish(header);
      return nullptr;
    }
    return make(call);
  };
}

}  // namespace

Methods WorkloadMethods(WorkloadServices& services) {
  Methods methods;
  const auto add = [&](const std::string& name, std::unique_ptr<CallHandler> (*make)(Call&, WorkloadServices&)) {
    methods["/SpiffeWorkloadAPI/" + name] = Guarded([&services, make](Call& call) { return make(call, services); });
  };
  add("FetchX509SVID", MakeX509SvidStream);
  add("FetchX509Bundles", MakeX509BundleStream);
  add("FetchJWTSVID", MakeJwtSvidCall);
  add("FetchJWTBundles", MakeJwtBundleStream);
  add("ValidateJWTSVID", MakeJwtValidation);
  add("FetchWITSVID", MakeWitSvidStream);
  add("FetchWITBundles", MakeWitBundleStream);
  return methods;
}

}  // namespace lanyard
