#include "workload_api/client/workload_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include "node_agent/base/printable.h"

namespace lanyard {
namespace {

// Bundles of many trust domains with their revocation lists are larger than gRPC's 4 MiB; so is a registry of tens of
// thousands of entries.
constexpr int kMaxMessageBytes = 64 << 20;
// How often gRPC itself tries to connect; how often anybody asks is for stream_follower.h to say. An attempt has gRPC's
// 20 seconds: GRPC_ARG_MIN_RECONNECT_BACKOFF_MS would shorten that too, and an agent that is busy would never be
// reached.
constexpr int kFirstReconnectMs = 100, kMaxReconnectMs = 1000;

}  // namespace

std::shared_ptr<grpc::Channel> MakeAgentChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMs);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

void PrepareCall(grpc::ClientContext& context) {
  context.AddMetadata("workload.spiffe.io", "true");
}

Status StatusOf(const grpc::Status& status) {
  if (status.ok()) return OkStatus();
  return Error(static_cast<StatusCode>(status.error_code()), "{}", Printable(status.error_message()));
}

bool IsFinal(const Status& status) {
  return status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kUnimplemented;
}

}  // namespace lanyard
