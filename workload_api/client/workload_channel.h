// gRPC as this library and the command line use it: a connection to an agent, and what each call needs.
//
// Thread: any.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "node_agent/base/status.h"

namespace lanyard {

// A lazy connection of its own, by the name that ParseEndpoint() gives.
std::shared_ptr<grpc::Channel> MakeAgentChannel(const std::string& target);

// Metadata that the Workload API demands of every call (SPIFFE_Workload_Endpoint §3: against confused HTTP clients).
void PrepareCall(grpc::ClientContext& context);

Status StatusOf(const grpc::Status& status);

// Whether asking again would not help: InvalidArgument (SPIFFE_Workload_Endpoint §6) and Unimplemented.
bool IsFinal(const Status& status);

}  // namespace lanyard
