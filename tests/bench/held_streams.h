// Many open streams of one caller, and what came on them: the messages, and how close to their end SVIDs were replaced.
//
// Thread: one. `Run` obeys the commands that workload_load.cc describes until standard input ends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "tests/bench/stream_client.h"

namespace lanyard::bench {

class HeldStreams {
 public:
  // Opens them as fast as the server takes them and returns when each has had its first message, or has ended.
  static Result<HeldStreams> Open(const std::string& path, size_t count);

  void Run();

 private:
  struct Held {
    StreamClient client;
    uint64_t messages = 0;  // since the mark, as all the rest but `svids`
    uint64_t bytes = 0;
    size_t svids = 0;        // in the newest message
    double svids_since = 0;  // monotonic: when the number of SVIDs was last another
    double last_message = 0;
    int64_t expires_at = 0;    // the earliest, of the newest message
    double least_left = 1e18;  // seconds that an SVID had left when another took its place
    uint64_t invalid = 0;      // messages without an SVID, or with an expired one
    bool over = false;
  };

  HeldStreams() = default;

  Status Connect(const std::string& path);
  void Wait(int milliseconds);  // for messages and commands, and takes in what has come
  void TakeIn(Held& held);
  void Obey(const std::string& command);
  void Mark();
  void Report() const;
  void CheckExpectation();

  UniqueFd poll_;
  std::vector<Held> streams_;
  std::string input_;
  bool input_over_ = false;

  struct Expectation {
    size_t svids;
    double deadline;
  };
  std::optional<Expectation> expected_;
};

}  // namespace lanyard::bench
