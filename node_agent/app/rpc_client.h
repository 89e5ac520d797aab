// The command line's end of a call to the agent: channel, deadline, and what a failure means to a person and to a
// shell.
//
// Thread: any.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "node_agent/app/cli.h"

namespace lanyard {

// A lazy connection to the Unix socket at `path` (absolute). Every call to Connect has a connection of its own.
std::shared_ptr<grpc::Channel> Connect(const std::string& path);

void SetDeadline(grpc::ClientContext& context, std::chrono::milliseconds from_now);

struct CallFailure {
  ExitCode code = kExitFailed;
  std::string text;
};

// What went wrong with a call to the agent at `path`. An answer that gRPC calls Unavailable may come from the agent or
// mean that there is none; which of them is found out by connecting once more, so the cause is the kernel's own ("no
// such file or directory").
// `wanted` is the SPIFFE ID that was asked for, if it was one.
CallFailure ExplainWorkloadFailure(const grpc::Status& status, const std::string& path, std::string_view wanted = {});
CallFailure ExplainAdminFailure(const grpc::Status& status, const std::string& path);

}  // namespace lanyard
