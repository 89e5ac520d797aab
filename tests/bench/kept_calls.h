// Calls one after the other on connections that stay open, as a client library makes them: JWT-SVIDs that are the same
// each time, ever new ones, and the validation of one.
//
// Thread: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "tests/bench/stream_client.h"
#include "tests/bench/tally.h"

namespace lanyard::bench {

enum class KeptCall {
  kJwt,       // FetchJWTSVID, always for one audience
  kNewJwt,    // FetchJWTSVID, each time for an audience that nobody has named before
  kValidate,  // ValidateJWTSVID of a token that was fetched before
};

class KeptCalls {
 public:
  // Opens the connections, and makes one call on each, which is not counted.
  static Result<KeptCalls> Open(const std::string& path, size_t connections, KeptCall which);

  // Once. Each connection calls again as soon as it has its answer, whole and with the status after it.
  Tally Run(double seconds);

 private:
  struct Kept {
    StreamClient client;
    double begun = 0;
    bool answered = false;  // with a message that is what was asked for
  };

  KeptCalls() = default;

  Status Connect(const std::string& path);
  Status FetchToken(const std::string& path);
  std::string Request();
  bool IsAnswer(std::string_view message) const;
  void Begin(Kept& kept);
  // Takes in what has come; true when the call is over.
  bool Continue(Kept& kept);

  KeptCall which_{};
  UniqueFd poll_;
  std::vector<Kept> kept_;
  std::string method_, audience_, token_;
  uint64_t audiences_ = 0;  // named so far
};

}  // namespace lanyard::bench
