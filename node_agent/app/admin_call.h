// One question to the operator's API, for verbs that ask once.
//
// Thread: any; blocks until the answer or the deadline. What a status means to a person: rpc_client.h.
#pragma once

#include <chrono>
#include <string>

#include "node_agent/admin/proto/admin.grpc.pb.h"
#include "node_agent/app/rpc_client.h"
#include "node_agent/app/socket_address.h"

namespace lanyard {

// Asks the agent at `admin_socket` (as --admin-socket has it) and returns what `print(response)` does, or after saying
// why there is no answer, the exit code for that.
template <class Request, class Response, class Print>
int AskAdmin(grpc::Status (admin::v1::Admin::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
             const Request& request, const std::string& admin_socket, std::chrono::milliseconds timeout,
             const Console& console, Print print) {
  const Result<std::string> path = ResolveAdminSocket(admin_socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  admin::v1::Admin::Stub stub(Connect(*path));
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  Response response;
  if (const grpc::Status status = (stub.*method)(&context, request, &response); !status.ok()) {
    const CallFailure failure = ExplainAdminFailure(status, *path);
    return console.Fail(failure.code, failure.text);
  }
  return print(response);
}

}  // namespace lanyard
