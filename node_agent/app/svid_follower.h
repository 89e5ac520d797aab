// Follows the stream of this process's X.509-SVIDs for as long as it lives, and hands over what came of it.
//
// The stream has a thread of its own, which checks each answer. What it has to tell waits in events(), newest last;
// ready() is readable while there is something.
//
// Thread: the constructor, events() and the destructor on one thread. The destructor ends the call.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "node_agent/base/fd.h"
#include "workload_api/client/fetched.h"
#include "workload_api/client/stream_follower.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {

class SvidFollower {
 public:
  // A new state, or how the stream ended (or an attempt to open one); DataLoss: at an answer that does not hold
  // together.
  using Event = std::variant<FetchedSvids, Status>;

  // `path` is the workload socket's.
  static Result<std::unique_ptr<SvidFollower>> Start(const std::string& path);

  int ready() const { return ready_.get(); }
  std::vector<Event> events();

 private:
  SvidFollower(const std::string& path, UniqueFd ready);
  Status Take(X509SVIDResponse& answer);
  void Tell(Event event);

  const UniqueFd ready_;  // eventfd
  std::mutex mutex_;      // guards events_
  std::vector<Event> events_;
  const std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  StreamFollower<X509SVIDResponse> stream_;  // last, so that it ends first
};

}  // namespace lanyard
