#include "workload_api/client/workload_client.h"

#include <utility>

#include "workload_api/client/endpoint.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/client/workload_client_state.h"

namespace lanyard {

Result<std::shared_ptr<WorkloadClient>> WorkloadClient::Create(std::string endpoint) {
  auto state = std::make_unique<State>();
  state->endpoint = EndpointOrDefault(std::move(endpoint));
  ASSIGN_OR_RETURN(const std::string target, ParseEndpoint(state->endpoint));
  state->channel = MakeAgentChannel(target);
  return std::shared_ptr<WorkloadClient>(new WorkloadClient(std::move(state)));
}

WorkloadClient::WorkloadClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
WorkloadClient::~WorkloadClient() = default;

const std::string& WorkloadClient::endpoint() const {
  return state_->endpoint;
}

}  // namespace lanyard
