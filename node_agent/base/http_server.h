// A small HTTP server for what operators and orchestrators ask of the agent: GET and HEAD, a fixed set of paths.
//
// Handlers run on the loop thread, so they read the agent's state without locks, and a loop that hangs shows as 503
// within the time limit. HTTP itself is cpp-httplib's: it parses the request line, routes and writes the answer, from
// memory to memory; sockets, threads and limits are HttpConnections', because the library's own let a slow client hold
// a worker for hours, queue connections without bound, share a port with another server and stop at the first failed
// accept. No header of the request is looked at: there is nothing to negotiate.
//
// Lifetime: loop outlives the server; handlers never run after its destruction, which waits for no client.
// Thread: loop, except ParseHttpAddress. Failure: more than kMostUnanswered requests that the loop has not taken up are
// answered 503 at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/event_loop.h"
#include "node_agent/base/http_connections.h"
#include "node_agent/base/status.h"

namespace lanyard {

// An IP address and port to listen on.
struct HttpAddress {
  std::string ip;  // "127.0.0.1", "::1"
  uint16_t port = 0;

  std::string str() const;  // "127.0.0.1:9464", "[::1]:9464"
  bool IsLoopback() const;
  friend bool operator==(const HttpAddress&, const HttpAddress&) = default;
};

// "127.0.0.1:9464", "[::1]:9464"; port 0 stands for any that is free. Names are refused (which address a name has may
// change under a running agent), and so is a port alone. InvalidArgument says what to write instead. Thread: any.
Result<HttpAddress> ParseHttpAddress(std::string_view text);

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string cache_control = "no-store";
  std::string body;
};
using HttpHandler = std::function<HttpResponse()>;
using HttpRoutes = std::map<std::string, HttpHandler, std::less<>>;  // by path, e.g. "/metrics"

inline constexpr int kMostUnanswered = 256;

class HttpServer {
 public:
  // Listens at once; answers as soon as the loop runs. With `filters` it speaks what they do, e.g. TLS; they are called
  // on another thread until the destructor has returned. AlreadyExists when the port is taken.
  static Result<std::unique_ptr<HttpServer>> Start(EventLoop& loop, const HttpAddress& address, HttpRoutes routes,
                                                   HttpLimits limits = {}, HttpFilterFactory filters = nullptr);
  ~HttpServer();

  // With the port that was given, when 0 was asked for.
  const HttpAddress& address() const { return address_; }
  uint16_t port() const { return address_.port; }

 private:
  class Protocol;
  HttpServer(EventLoop& loop, HttpAddress address, UniqueFd listener, UniqueFd wake, HttpRoutes routes,
             HttpLimits limits, HttpFilterFactory filters);

  const HttpAddress address_;
  std::shared_ptr<Protocol> protocol_;
  std::unique_ptr<HttpConnections> connections_;
};

}  // namespace lanyard
