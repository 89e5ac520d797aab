// The TCP side of the HTTP server: one thread that accepts, reads the heads of requests and writes answers.
//
// Everything is non-blocking and every phase of a connection (request, answer, reading the answer) has a time limit as
// a whole, so that a client that sends or reads byte by byte holds a connection for that time and nothing else. Each
// connection carries one request. When all places are taken, a newcomer gets that of the oldest client that has been
// sending its request, or reading its answer, for more than a moment: an honest one does both at once. Bodies are never
// read; what is answered decides elsewhere, and an answer that does not come in time is 503. With a filter (TLS) the
// handshake counts as part of the request, and a connection whose filter reports an error is closed.
//
// Failure: what is no plain request line is 400, a long head 431, a long target 414, a slow one 408; without file
// descriptors accepting pauses for a moment.
//
// Thread: the constructor and destructor on one thread; `on_request` is called on the thread made here; answers may be
// given from any thread, also after the end. The destructor waits for no client.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "node_agent/base/fd.h"
#include "node_agent/base/http_filter.h"
#include "node_agent/base/status.h"

namespace lanyard {

struct HttpLimits {
  std::chrono::milliseconds each_phase{5000};  // sending the request; being answered; reading the answer
  size_t connections = 64;
};

class HttpConnections {
 public:
  // Gives the whole answer, head and body. Thread: any.
  using Answer = std::function<void(std::string bytes)>;
  // `request_line` as it came, without CRLF: printable ASCII, at most 1,024 bytes, "METHOD TARGET HTTP/1.x".
  using OnRequest = std::function<void(std::string request_line, Answer answer)>;

  // Takes over a listening, non-blocking socket.
  HttpConnections(UniqueFd listener, UniqueFd wake, HttpLimits limits, OnRequest on_request,
                  HttpFilterFactory filters = nullptr);
  ~HttpConnections();

  // A complete answer of a status, for what never reaches a handler. `method` HEAD leaves the body out.
  static std::string PlainAnswer(std::string_view status, std::string_view text, std::string_view method = "GET");

 private:
  struct Mailbox;
  class Thread;
  std::shared_ptr<Mailbox> mailbox_;
  std::thread thread_;
};

}  // namespace lanyard
