// The asynchronous gRPC server behind all sockets of the agent: one completion queue, polled by one thread of ours.
//
// gRPC's transport and HTTP/2 are used, its listeners and service classes are not: every method arrives through one
// generic service. At the moment a call is matched the polling thread reads the call's peer ("fd:<n>"), asks the doors
// whose connection that is, and keeps it: while the call lives its fd number cannot be given to anybody else. Then the
// call moves to the loop thread, where everything else happens; calls begin in turn, one of each account. (gRPC's
// callback API answers up to 94 ms late on few cores, and costs more memory. Two servers would not do instead: gRPC's
// pollers take turns for all of them, so that half of what happens on one socket first wakes the thread of the other.)
//
// Failure: a call whose connection no door knows is refused; a message above 16,384 bytes or metadata above 8,192 is
// refused by gRPC. A call on a connection whose process has exited is refused, and so is one whose account has reached
// a limit.
//
// Lifetime: loop and clock outlive it, and it outlives its doors. The destructor joins the thread. Thread: loop.
#pragma once

#include <memory>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/fd.h"
#include "node_agent/rpc/account.h"
#include "node_agent/rpc/call.h"

namespace lanyard {

// What calls are told once nobody is left to answer them.
inline Status ShuttingDown() {
  return Error(StatusCode::kUnavailable, "agent is shutting down");
}

// One socket, as the engine sees it.
class RpcDoor {
 public:
  virtual ~RpcDoor() = default;
  // The connection of a number, null when it is none of this door's. Thread: any.
  virtual ConnectionPtr FindConnection(int fd) const = 0;
  // Whether the account of its connection may have another call.
  virtual Result<CallPermit> Admit(const Call& call) = 0;
  // The handler of a new call, or why there is none.
  virtual Result<std::unique_ptr<CallHandler>> MakeHandler(Call& call) = 0;
  // A call has come, or is over; there are so many now.
  virtual void OnCallBegun(size_t live) = 0;
  virtual void OnCallOver(size_t live) = 0;
};

class RpcEngine {
 public:
  static Result<std::unique_ptr<RpcEngine>> Start(EventLoop& loop, Clock& clock);
  virtual ~RpcEngine() = default;

  virtual void Add(RpcDoor& door) = 0;
  // Ends its calls without another word: their handlers are destroyed before this returns.
  virtual void Remove(const RpcDoor& door) = 0;
  // Serves a connection that one of the doors knows.
  virtual void Serve(UniqueFd connection) = 0;
  // Ends all calls of the door that are open now with `status`.
  virtual void FinishCalls(const RpcDoor& door, const Status& status) = 0;
};

}  // namespace lanyard
