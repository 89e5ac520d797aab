// One connection with one call at a time, as HTTP/2 frames written by hand.
//
// For a load generator: it costs a fraction of what a gRPC client does, so that on few processors the agent is measured
// and not its caller. It sends what a client library sends (preface, settings, the call, acknowledgements, window
// updates), and answers pings. Headers are not read: a call that ends before a message came has failed, whatever its
// status says.
//
// Lifetime: closes its connection when destroyed. Thread: one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"

namespace lanyard::bench {

struct Call {
  std::string_view method;   // of the SpiffeWorkloadAPI
  std::string_view request;  // the message that is sent
};

class StreamClient {
 public:
  // Connects to the Unix socket at `path` and sends the call. Waits when the socket's queue is full.
  static Result<StreamClient> Open(const std::string& path, Call call);

  // Sends another call on the same connection. The one before is over, and the connection is not lost.
  void Begin(Call call);

  // Reads what has come, without waiting. True when a message came whole: it is in message() until the next call, and
  // there may be another (call again until false).
  bool Read();

  std::string_view message() const { return message_; }
  bool over() const { return over_; }  // the call: by the server, or by an error
  bool lost() const { return lost_; }  // the connection, and the call with it
  int fd() const { return fd_.get(); }

 private:
  explicit StreamClient(UniqueFd fd) : fd_(std::move(fd)) {}

  bool TakeMessage();
  bool TakeFrame();
  void Send(std::string_view bytes);
  void Acknowledge(size_t bytes);
  void Lose() { lost_ = over_ = true; }

  UniqueFd fd_;
  std::string received_;  // not yet whole frames
  std::string data_;      // of the call, not yet whole messages
  std::string message_;
  uint32_t stream_ = 0;  // of the call
  size_t unacknowledged_ = 0;
  bool over_ = true, lost_ = false;
};

}  // namespace lanyard::bench
