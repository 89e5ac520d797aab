// Where a Workload API is: the address as people write it, and as gRPC wants it.
//
// Thread: any, except where said.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

// Longest path that fits into sockaddr_un with its terminating zero.
inline constexpr std::size_t kMaxSocketPath = 107;

inline constexpr std::string_view kDefaultWorkloadSocket = "/run/lanyard/workload.sock";

// The absolute path in "unix:///path", "unix:/path" or "/path" (SPIFFE_Workload_Endpoint §4: no authority, query or
// fragment). For sockets of this agent: it does not serve TCP, over which the kernel does not say who calls.
Result<std::string> ParseSocketAddress(std::string_view address);

// The name of the Unix socket at `path` for a gRPC channel.
std::string ChannelTarget(const std::string& path);

// The same for any Workload API: a Unix socket as above, or "tcp://IP:PORT".
Result<std::string> ParseEndpoint(std::string_view address);

// `given`, unless empty; else $SPIFFE_ENDPOINT_SOCKET, unless unset or empty; else this agent's default. Not while
// another thread changes the environment.
std::string EndpointOrDefault(std::string given);

}  // namespace lanyard
