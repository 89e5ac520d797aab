// The RPCs of one Unix socket: who may connect, which methods there are, and how it ends.
//
// Connections are accepted by a Listener and served by the engine that all sockets share; a method that the table does
// not have is Unimplemented. What one caller may have and do is limited here, before its calls reach their handlers
// (account.h): a call above a limit is Unavailable, and who goes on calling without waiting is shut out for a while.
//
// Lifetime: loop, clock, resources, engine and all that the method table refers to outlive it. The destructor ends what
// is still open. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/rpc/call.h"
#include "node_agent/rpc/engine.h"
#include "node_agent/rpc/listener.h"

namespace lanyard {

struct RpcServerOptions {
  PeerSocketOptions socket;
  ListenerOptions listener;
  CallerLimits limits;
  // A call was refused because of its connection's account.
  std::function<void(const Call&, const Status&)> on_refused{};
};

struct RpcServerStats {
  ListenerStats connections;
  size_t live_calls = 0;
  uint64_t calls = 0;  // matched, ever
  size_t accounts = 0;
  std::array<uint64_t, kCallerLimitNames.size()> refused{};  // connections and calls, by CallerLimit
  std::optional<MonoTime> last_refused;
};

class RpcServer {
 public:
  // Binds the socket, or adopts the inherited one, and serves from when the loop runs.
  static Result<std::unique_ptr<RpcServer>> Start(EventLoop& loop, Clock& clock, PeerResources& resources,
                                                  RpcEngine& engine, RpcServerOptions options, Methods methods);
  virtual ~RpcServer() = default;

  // Stops accepting, ends every call with Unavailable, and calls `done` when all are over or `deadline` has come; then
  // destroy the server.
  virtual void Shutdown(Deadline deadline, absl::AnyInvocable<void()> done) = 0;
  // From now on; what is open stays.
  virtual void SetLimits(const CallerLimits& limits) = 0;
  virtual RpcServerStats stats() const = 0;
};

}  // namespace lanyard
