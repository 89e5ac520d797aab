// One question to the Workload API, for verbs that ask once.
//
// Thread: any; blocks until the answer or the deadline. What a status means to a person: rpc_client.h.
#pragma once

#include <chrono>
#include <string>

#include "node_agent/app/rpc_client.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {

// The status of `call(stub, context)`, which makes a call to the agent at `path`.
template <class Call>
grpc::Status AskWorkloadApi(const std::string& path, std::chrono::milliseconds timeout, Call call) {
  SpiffeWorkloadAPI::Stub stub(Connect(path));
  grpc::ClientContext context;
  PrepareCall(context);
  SetDeadline(context, timeout);
  return call(stub, context);
}

// The first message of the stream that `open(stub, context)` opens, or its failure.
template <class Response, class Open>
grpc::Status ReadFirst(const std::string& path, std::chrono::milliseconds timeout, Open open, Response& response) {
  return AskWorkloadApi(path, timeout, [&](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
    const auto reader = open(stub, context);
    if (!reader->Read(&response)) {
      const grpc::Status status = reader->Finish();
      return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended without a message") : status;
    }
    context.TryCancel();  // one message is enough
    static_cast<void>(reader->Finish());
    return grpc::Status::OK;
  });
}

}  // namespace lanyard
