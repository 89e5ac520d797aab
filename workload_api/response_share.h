// Serialized responses, shared by all streams that send the same bytes at about the same time.
//
// A renewal reaches thousands of streams within milliseconds, and most of them show the same identities: the message is
// made once. What was made is forgotten a second later, since it holds private keys.
//
// Thread: loop.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "node_agent/base/clock.h"

namespace lanyard {

class ResponseShare {
 public:
  // First in a key: what the numbers after it mean.
  enum Kind : std::uint64_t { kX509Svids, kX509Bundles, kJwtBundles, kWitSvids, kWitBundles };

  // What a response says, as numbers: equal keys, equal bytes. One of them may be the address of what is given to Get()
  // to be kept.
  using Key = std::vector<std::uint64_t>;

  explicit ResponseShare(Clock& clock) : clock_(clock) {}

  // `kept` lives as long as the bytes are remembered, so that its address means the same thing for as long.
  template <class Make>
  grpc::ByteBuffer Get(const Key& key, std::shared_ptr<const void> kept, Make make) {
    auto found = made_.find(key);
    if (found == made_.end()) {
      found = made_.emplace(key, Made{make(), std::move(kept)}).first;
      if (made_.size() == 1) forget_ = clock_.CallAfter(std::chrono::seconds(1), [this] { made_.clear(); });
    }
    return found->second.bytes;
  }

 private:
  struct Made {
    grpc::ByteBuffer bytes;
    std::shared_ptr<const void> kept;
  };

  Clock& clock_;
  std::map<Key, Made> made_;
  std::unique_ptr<Clock::Alarm> forget_;
};

}  // namespace lanyard
