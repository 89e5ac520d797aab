// What may lie between a connection's socket and HTTP: TLS. This room knows nothing of it but this.
//
// One filter serves one connection. Nothing here blocks, and nothing here touches the socket.
//
// Thread: that of HttpConnections, factory and filters.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

class HttpFilter {
 public:
  virtual ~HttpFilter() = default;

  // Takes bytes from the socket; appends what they said to `plain`, and to `reply` what has to be sent in return. After
  // an error the connection is closed, when `reply` was sent as far as it can be at once.
  virtual Status Receive(std::string_view wire, std::string& plain, std::string& reply) = 0;
  // Appends to `wire` what carries the answer, which is the last that is said. An error: nothing can be said.
  virtual Status SendLast(std::string_view plain, std::string& wire) = 0;
};

// Null: the connection is closed. A factory that is not set: plain HTTP.
using HttpFilterFactory = std::function<std::unique_ptr<HttpFilter>()>;

}  // namespace lanyard
