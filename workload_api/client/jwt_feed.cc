#include "workload_api/client/jwt_feed.h"

#include <utility>

#include "workload_api/client/fetched_tokens.h"

namespace lanyard {

JwtFeed::JwtFeed(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(SpiffeWorkloadAPI::NewStub(channel)),
      bundles_(
          {.open = [this](grpc::ClientContext& call) { return stub_->FetchJWTBundles(&call, JWTBundlesRequest()); },
           .take = [this](JWTBundlesResponse& message) { return Take(message); },
           .ended = [this](const Status& why) { state_.Update([&](State& state) { state.stream = why; }); }}) {}

Status JwtFeed::Take(const JWTBundlesResponse& message) {
  ASSIGN_OR_RETURN(BundleSet bundles, CheckJwtBundles(message));
  state_.Update([&](State& state) {
    state.bundles = std::make_shared<const BundleSet>(std::move(bundles));
    state.stream = OkStatus();
  });
  return OkStatus();
}

}  // namespace lanyard
