// Accepts connections on one Unix socket, finds out who made each, and hands it over with its number entered in a
// table.
//
// The table (fd number → Connection) is filled before the hand-over, so that no call can arrive on a number that is not
// in it. Who the connection is handed to closes it without telling, so entries are swept: an entry whose fd no longer
// carries its socket's cookie is gone. A connection ends with the process that made it, also when a child still holds
// the fd, and when it has made no call within `first_call_within`: gRPC sets no limit of its own for a peer that sends
// nothing, half a preface, or garbage it can wait on.
//
// The kernel's queue is first come, first served. What is accepted therefore lines up by account, and one of each
// account is handed over in turn: who floods the socket keeps others waiting for as long as accepting takes, no longer.
//
// Fails closed: a peer of whom the kernel tells nothing is closed at once; so is one whose account has reached a limit.
// Both are counted and logged at a limited rate. A peer that `admit` refuses is told so on each of its calls.
//
// Lifetime: loop, clock, resources and accounts outlive it. Thread: loop, except Find.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/rpc/connection.h"
#include "node_agent/rpc/fd_window.h"
#include "node_agent/rpc/peer_process.h"
#include "node_agent/rpc/peer_socket.h"

namespace lanyard {

// What all sockets of the agent share: made once, before any thread is started.
struct PeerResources {
  static Result<PeerResources> Reserve();

  FdWindow fds;
  PeerProcesses processes;
};

struct ListenerOptions {
  std::string name = "workload";  // for logs: "workload", "admin"
  // 0: as many as the window of fd numbers holds, less 64 for other sockets; and half of that for one account, so that
  // none can lock the others out.
  size_t max_connections = 0;
  std::chrono::seconds first_call_within{60};
  std::function<AccountName(const PeerProcess&)> account_of{};  // none: by uid
  // A connection was closed because of its account; none: it is logged.
  std::function<void(const PeerProcess&, const Account&, const Status&)> on_refused{};
  std::function<Status(const PeerProcess&)> admit{};  // none: everybody who is known
};

struct ListenerStats {
  size_t open = 0;             // entries in the table
  uint64_t accepted = 0;       // handed over, ever
  uint64_t refused_peer = 0;   // unknown, exited, or not admitted
  uint64_t refused_limit = 0;  // above a limit of its account
  uint64_t refused_full = 0;   // more than there may be in all, or no fd left
  uint64_t ended_exit = 0;     // ended with the process that made them
  uint64_t ended_silent = 0;   // ended because no call came
  uint64_t ended_limit = 0;    // ended because their accounts are shut out
  std::optional<MonoTime> last_full{};
};

class Listener {
 public:
  // Takes over the fd; called on the loop thread.
  using HandOver = std::function<void(UniqueFd)>;

  virtual ~Listener() = default;

  // The connection of a number, null when there is none. Thread: any.
  virtual ConnectionPtr Find(int fd) const = 0;
  // No more connections; those that are open stay. Removes the socket's name.
  virtual void StopAccepting() = 0;
  // Ends a connection of an account that is shut out.
  virtual void EndFlooded(const Connection& connection) = 0;
  virtual ListenerStats stats() const = 0;
};

// Accepts as soon as the loop runs.
Result<std::unique_ptr<Listener>> MakeListener(EventLoop& loop, Clock& clock, PeerResources& resources,
                                               AccountTable& accounts, PeerSocket socket, ListenerOptions options,
                                               Listener::HandOver hand_over);

}  // namespace lanyard
