// The asynchronous gRPC server of one Unix socket, for connections that we accept ourselves.
//
// gRPC's transport and HTTP/2 are used, its listeners and service classes are not: every method arrives through one
// generic service on one completion queue, polled by one thread of ours. At the moment a call is matched that thread
// reads the call's peer ("fd:<n>"), looks the connection up, and keeps it: while the call lives its fd number cannot be
// given to anybody else. Then the call moves to the loop thread, where everything else happens. (gRPC's callback API
// answers up to 94 ms late on few cores, and costs more memory.)
//
// Failure: a call whose peer is not known is refused; an unknown method is Unimplemented; a message above 16,384 bytes
// or metadata above 8,192 is refused by gRPC. A call on a connection whose process has exited is refused.
//
// Lifetime: loop, clock, resources and all that the method table refers to outlive it. The destructor cancels what is
// still open and joins the thread. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/rpc/call.h"
#include "node_agent/rpc/listener.h"

namespace lanyard {

// First thing in main(), before any gRPC call and any thread: without these an idle stream costs 6 kB more.
void PrepareProcessForGrpc();

struct RpcServerOptions {
  PeerSocketOptions socket;
  ListenerOptions listener;
};

struct RpcServerStats {
  ListenerStats connections;
  size_t live_calls = 0;
  uint64_t calls = 0;  // matched, ever
};

class RpcServer {
 public:
  // Binds the socket, or adopts the inherited one, and serves from when the loop runs.
  static Result<std::unique_ptr<RpcServer>> Start(EventLoop& loop, Clock& clock, PeerResources& resources,
                                                  RpcServerOptions options, Methods methods);
  virtual ~RpcServer() = default;

  // Stops accepting, ends every call with Unavailable, and calls `done` when all are over or `deadline` has come; then
  // destroy the server.
  virtual void Shutdown(Deadline deadline, absl::AnyInvocable<void()> done) = 0;
  // Of connections; from now on.
  virtual void LimitPerUid(size_t most) = 0;
  virtual RpcServerStats stats() const = 0;
};

}  // namespace lanyard
