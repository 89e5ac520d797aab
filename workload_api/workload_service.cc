#include "workload_api/workload_service.h"

#include <string>

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

HandlerFactory NotServed(std::string what) {
  return [what = std::move(what)](Call& call) -> std::unique_ptr<CallHandler> {
    call.Finish(Error(StatusCode::kUnimplemented, "{} are not supported yet", what));
    return nullptr;
  };
}

}  // namespace

Methods WorkloadMethods(WorkloadServices& services) {
  const std::string prefix = "/SpiffeWorkloadAPI/";
  Methods methods;
  methods[prefix + "FetchX509SVID"] = Guarded([&services](Call& call) { return MakeX509SvidStream(call, services); });
  methods[prefix + "FetchX509Bundles"] =
      Guarded([&services](Call& call) { return MakeX509BundleStream(call, services); });
  for (const char* name : {"FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID"})
    methods[prefix + name] = Guarded(NotServed("JWT-SVIDs"));
  for (const char* name : {"FetchWITSVID", "FetchWITBundles"}) methods[prefix + name] = Guarded(NotServed("WIT-SVIDs"));
  return methods;
}

}  // namespace lanyard
