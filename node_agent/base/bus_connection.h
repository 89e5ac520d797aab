// One connection to a D-Bus message bus, over sd-bus on the loop.
//
// It is opened by the path of the bus's socket, never by an address from the environment, and only where nobody but
// root (or our own user) can be at the other end (trusted_socket.h). The pids that the bus and its services speak of
// are those of their pid namespace; a bus that was made outside the node agent's own is refused.
//
// Calls are sent in order and answered in any order. Nothing blocks: authentication, greeting, sending and receiving
// all go on as the socket lets them. sd-bus's own time limits are not used (its timer is never armed): who opens a
// connection keeps a clock for it.
//
// Lifetime: once it is broken it stays so, and is to be thrown away; may be destroyed in any callback. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct BusCall {
  std::string destination;
  std::string path;
  std::string interface;
  std::string member;
  std::vector<std::variant<std::string, uint32_t>> arguments;  // of D-Bus types s and u
};

// The first value of an answer: a string or path, a number, or bytes (D-Bus types s, o, u, ay, or a variant of these).
using BusValue = std::variant<std::string, uint32_t, std::vector<uint8_t>>;

struct BusReply {
  Result<BusValue> value;
  std::string error;  // the D-Bus name of the error, where one was answered
};

class BusConnection {
 public:
  using Done = absl::AnyInvocable<void(BusReply) &&>;
  struct Events {
    absl::AnyInvocable<void()> ready;         // once: calls may be sent
    absl::AnyInvocable<void(Status)> broken;  // once, at the end; calls without an answer never get one
  };

  // NotFound and Unavailable when nobody is there, PermissionDenied when whoever is cannot be trusted,
  // FailedPrecondition from another pid namespace. No event comes before Open() has returned.
  static Result<std::unique_ptr<BusConnection>> Open(const std::string& socket_path, EventLoop& loop, Events events);

  virtual ~BusConnection() = default;
  // `done` runs at most once and never before Call() has returned. A value counts only if it comes from the very
  // destination, which is a unique name (":1.7") or the bus itself: a reply of anybody else is an error.
  virtual Status Call(const BusCall& call, Done done) = 0;
  // Once ready: the name that the bus has given us.
  virtual const std::string& unique_name() const = 0;
};

// "/a/b/refund_2eservice" below "/a/b" → "refund.service"; nothing for any other path.
std::optional<std::string> BusPathLabel(const std::string& path, const std::string& prefix);

}  // namespace lanyard
