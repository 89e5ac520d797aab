// One connection with one FetchX509SVID stream, as HTTP/2 frames written by hand.
//
// For a load generator: it costs a fraction of what a gRPC client does, so that on few processors the agent is measured
// and not its caller. It sends what a client library sends (preface, settings, the call, acknowledgements, window
// updates), and answers pings. Headers are not read: a stream that ends before a message came has failed, whatever its
// status says.
//
// Lifetime: closes its connection when destroyed. Thread: one at a time.
#pragma once

#include <string>
#include <string_view>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard::bench {

class StreamClient {
 public:
  // Connects to the Unix socket at `path` and sends the call. Waits when the socket's queue is full.
  static Result<StreamClient> Open(const std::string& path);

  // Reads what has come, without waiting. True when a message came whole: it is in message() until the next call, and
  // there may be another (call again until false).
  bool Read();

  std::string_view message() const { return message_; }
  bool over() const { return over_; }  // by the server, or by an error
  int fd() const { return fd_.get(); }

 private:
  explicit StreamClient(UniqueFd fd) : fd_(std::move(fd)) {}

  bool TakeMessage();
  bool TakeFrame();
  void Send(std::string_view bytes);
  void Acknowledge(size_t bytes);

  UniqueFd fd_;
  std::string received_;  // not yet whole frames
  std::string data_;      // of the stream, not yet whole messages
  std::string message_;
  size_t unacknowledged_ = 0;
  bool over_ = false;
};

}  // namespace lanyard::bench
