// GET requests to one server over HTTP/1.1: at a Unix socket of this machine, or at an address, with TLS or without.
//
// HTTP is libcurl's, driven by the event loop: nothing here waits, not for names or files either. A server at a socket
// is believed only when it is root's or our own user's (trusted_socket.h), one that speaks TLS only when its
// certificate is as `TlsSettings` want it; both are asked of every connection before a byte of a request is sent. The
// rest is kept small: redirects are answers like any other, no proxy, netrc, cookie or variable of the environment is
// looked at, answers and their headers have a greatest size, and of the connections, which are kept and used again,
// there are few: what is asked beyond that waits in line, its deadline running. A request for which a kept connection
// turns out to be closed goes out once more on a new one.
//
// The files of `TlsSettings` are read for each request, and a connection is used again only while they say what they
// said when it was made: a request sent after a file was renewed never goes over a connection older than that. (Where
// only the key changes, under the same certificate, the connections stay.) Every connection has a whole handshake: no
// TLS session is resumed. What was received or sent, tokens and keys, is overwritten when it is released, except within
// OpenSSL.
//
// Lifetime: loop and clock outlive the client, and the client its requests. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstddef>
#include <memory>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/http_peer.h"
#include "node_agent/base/status.h"
#include "node_agent/base/wiped_string.h"

namespace lanyard {

struct HttpClientOptions {
  HttpPeer server;
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
  // answer. Errors begin with the socket's path or the URL; beside those of trusted_socket.h or, for an address, of
  // tls_files.h and curl_fault.h: DeadlineExceeded (saying for what it was too short), ResourceExhausted (too long an
  // answer), Unavailable (what came was no answer), InvalidArgument (a setting of the server makes no sense).
  [[nodiscard]] std::unique_ptr<Request> Get(const std::string& path, Deadline deadline, Done done);
  // The same with "Authorization: Bearer TOKEN" (RFC 6750). InvalidArgument when the token is none, or would travel
  // without TLS; it is in no error.
  [[nodiscard]] std::unique_ptr<Request> Get(const std::string& path, const WipedString& token, Deadline deadline,
                                             Done done);

 private:
  struct State;
  class Transfer;
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
