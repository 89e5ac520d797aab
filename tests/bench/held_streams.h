// Many open streams of one caller, and what came on them: the messages, how close to their end SVIDs were replaced, and
// when the newest content came.
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

enum class StreamKind { kX509Svids, kX509Bundles, kJwtBundles };

class HeldStreams {
 public:
  // Opens them as fast as the server takes them and returns when each has had its first message, or has ended.
  static Result<HeldStreams> Open(const std::string& path, size_t count, StreamKind kind);

  void Run();

 private:
  struct Held {
    StreamClient client;
    uint64_t messages = 0;  // since the mark, as all the rest but `parts` and `content`
    uint64_t bytes = 0;
    size_t parts = 0;          // SVIDs or bundles in the newest message
    uint64_t content = 0;      // of SVIDs, their number; of bundles, what they are
    double content_since = 0;  // monotonic: when it was last another
    double last_message = 0;
    int64_t expires_at = 0;    // the earliest, of the newest message
    double least_left = 1e18;  // seconds that an SVID had left when another took its place
    uint64_t invalid = 0;      // messages without an SVID or bundle, or with an expired SVID
    bool over = false;
  };

  explicit HeldStreams(StreamKind kind) : kind_(kind) {}

  Status Connect(const std::string& path);
  void Wait(int milliseconds);  // for messages and commands, and takes in what has come
  void TakeIn(Held& held);
  bool TakeMessage(Held& held, double now);  // false when it is invalid
  void Obey(const std::string& command);
  void Mark();
  void Report() const;
  void CheckExpectation();

  StreamKind kind_;
  UniqueFd poll_;
  std::vector<Held> streams_;
  std::string input_;
  bool input_over_ = false;

  struct Expectation {
    uint64_t content;
    bool another;  // than that
    double deadline;
    bool MetBy(const Held& held) const { return !held.over && held.parts > 0 && (held.content == content) != another; }
  };
  std::optional<Expectation> expected_;
};

}  // namespace lanyard::bench
