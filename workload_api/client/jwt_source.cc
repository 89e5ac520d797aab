#include "workload_api/client/jwt_source.h"

#include <algorithm>
#include <utility>

#include "workload_api/client/fetched_tokens.h"
#include "workload_api/client/following.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/client/workload_client_state.h"

namespace lanyard {

struct JwtSource::State {
  Following<JwtFeed> following;
};

Result<std::shared_ptr<JwtSource>> JwtSource::Create(const std::shared_ptr<WorkloadClient>& client) {
  if (client == nullptr) return Error(StatusCode::kInvalidArgument, "make a JWT source: no client");
  WorkloadClient::State& shared = *client->state_;
  ASSIGN_OR_RETURN(std::shared_ptr<const JwtFeed> feed, shared.Join(shared.jwt));
  return std::shared_ptr<JwtSource>(
      new JwtSource(std::unique_ptr<State>(new State{.following = {shared.endpoint, std::move(feed)}})));
}

JwtSource::JwtSource(std::unique_ptr<State> state) : state_(std::move(state)) {}
JwtSource::~JwtSource() {
  Close();
}

Status JwtSource::WaitReady(std::chrono::milliseconds timeout) const {
  ASSIGN_OR_RETURN(const auto state, state_->following.WaitFor(timeout, [](const JwtFeed::State& now) {
    return now.bundles != nullptr || IsFinal(now.stream);
  }));
  return state->bundles != nullptr ? OkStatus() : state_->following.FromApi(Annotate(state->stream, "no JWT bundles"));
}

Result<JwtSvid> JwtSource::Fetch(const std::vector<std::string>& audiences, const JwtFetchOptions& options) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<const JwtFeed> feed, state_->following.feed());
  grpc::ClientContext context;
  PrepareCall(context);
  context.set_deadline(std::chrono::system_clock::now() + std::min(options.timeout, kLongestWait));
  JWTSVIDRequest request;
  for (const std::string& audience : audiences) request.add_audience(audience);
  if (options.id) request.set_spiffe_id(options.id->str());
  JWTSVIDResponse response;
  const Status called = StatusOf(feed->stub().FetchJWTSVID(&context, request, &response));
  if (!called.ok()) return state_->following.FromApi(Annotate(called, "fetch a JWT-SVID"));
  const auto fetched = CheckJwtSvids(response, audiences, std::chrono::system_clock::now());
  if (!fetched.ok()) return state_->following.FromApi(Annotate(fetched.status(), "fetch a JWT-SVID"));
  const JwtSvid& first = fetched->front().svid;
  if (options.id && first.id() != *options.id) {
    return state_->following.FromApi(Error(StatusCode::kInvalidArgument,
                                           "fetch a JWT-SVID of {}: the answer is one of {}", options.id->str(),
                                           first.id().str()));
  }
  return first;
}

Result<JwtSvid> JwtSource::Validate(std::string_view token, std::string_view audience) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<const BundleSet> bundles, Bundles());
  return ValidateJwtSvid(token, audience, *bundles, std::chrono::system_clock::now());
}

Result<std::shared_ptr<const BundleSet>> JwtSource::Bundles() const {
  ASSIGN_OR_RETURN(const auto state, state_->following.Now());
  if (state->bundles == nullptr) return state_->following.FromApi(Annotate(state->stream, "no JWT bundles"));
  return state->bundles;
}

Status JwtSource::Connection() const {
  ASSIGN_OR_RETURN(const auto state, state_->following.Now());
  return state_->following.FromApi(state->stream);
}

void JwtSource::Close() {
  state_->following.Close();
}

}  // namespace lanyard
