// The stream of JWT authorities of the Workload API, and its call for JWT-SVIDs.
//
// Lifetime: the destructor ends the stream. Thread: any. Private to this library.
#pragma once

#include <cstdint>
#include <memory>

#include "pki/bundle.h"
#include "workload_api/client/published.h"
#include "workload_api/client/stream_follower.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {

class JwtFeed {
 public:
  struct State {
    std::shared_ptr<const BundleSet> bundles;  // nullptr until there are some
    Status stream = Error(StatusCode::kUnavailable, "nothing has come yet");
  };

  // May throw std::system_error when no thread can be had.
  explicit JwtFeed(const std::shared_ptr<grpc::Channel>& channel);

  const Published<State>& state() const { return state_; }
  SpiffeWorkloadAPI::Stub& stub() const { return *stub_; }

 private:
  Status Take(const JWTBundlesResponse& message);

  const std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  Published<State> state_{State()};
  StreamFollower<JWTBundlesResponse> bundles_;  // last, so that it ends first
};

}  // namespace lanyard
