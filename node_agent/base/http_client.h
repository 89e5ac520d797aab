// GET requests to one server on this machine, over HTTP/1.1 at its Unix socket.
//
// HTTP is libcurl's, driven by the event loop: nothing here waits. A server is believed only when it is root's or our
// own user's (trusted_socket.h), which is asked of every connection before a byte is sent. The rest is kept small:
// redirects are answers like any other, no proxy, netrc, cookie or variable of the environment is looked at, answers
// and their headers have a greatest size, and of the connections, which are kept and used again, there are few: what is
// asked beyond that waits in line, its deadline running. What was received is overwritten when it is released.
//
// Lifetime: loop and clock outlive the client, and the client its requests. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <memory>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/status.h"
#include "node_agent/base/wiped_string.h"

namespace lanyard {

struct HttpClientOptions {
  std::string unix_socket;  // an absolute path
  size_t max_body_bytes = 4 << 20;
  size_t max_header_bytes = 32 << 10;  // all of an answer
  unsigned connections = 4;
};

struct HttpAnswer {
  int status = 0;
  WipedString body;
};

class HttpClient {
 public:
  // Destroy it to cancel; `done` then never runs.
  struct Request {
    virtual ~Request() = default;
  };
  using Done = absl::AnyInvocable<void(Result<HttpAnswer>) &&>;

  // Whether there can be a client: FailedPrecondition, saying what to install, where libcurl is missing. A client made
  // all the same answers every request with that. Thread: any; loads the library.
  static Status Available();

  HttpClient(EventLoop& loop, Clock& clock, HttpClientOptions options);
  ~HttpClient();

  // Asks for `path`, which begins with a slash and holds nothing that a URL would have to escape. `done` runs once, on
  // the loop, never before Get has returned; it may destroy the request and the client. An answer of any status is an
  // answer. Errors begin with the socket's path; beside those of trusted_socket.h: DeadlineExceeded, ResourceExhausted
  // (too long an answer), Unavailable (what came was no answer).
  [[nodiscard]] std::unique_ptr<Request> Get(const std::string& path, Deadline deadline, Done done);

 private:
  struct State;
  class Transfer;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
