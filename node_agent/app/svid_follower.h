// Follows the stream of this process's X.509-SVIDs for as long as it lives, and hands over what came of it.
//
// A thread of its own reads the stream, checks each answer, and comes back with backoff when the stream ends. What it
// has to tell waits in events(), newest last; ready() is readable while there is something.
//
// Thread: the constructor, events() and the destructor on one thread. The destructor ends the call.
#pragma once

#include <grpcpp/client_context.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "node_agent/base/fd.h"
#include "workload_api/client/fetched.h"

namespace lanyard {

class SvidFollower {
 public:
  // A new state, an answer that does not hold together, or the end of a stream (or of an attempt to open one).
  using Event = std::variant<FetchedSvids, Status, grpc::Status>;

  // `path` is the workload socket's.
  static Result<std::unique_ptr<SvidFollower>> Start(std::string path);
  ~SvidFollower();

  int ready() const { return ready_.get(); }
  std::vector<Event> events();

 private:
  SvidFollower(std::string path, UniqueFd ready);
  void Run();
  grpc::Status FollowOnce();
  void Tell(Event event);
  bool stopped();

  const std::string path_;
  const UniqueFd ready_;  // eventfd
  // Guards what follows.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Event> events_;
  grpc::ClientContext* call_ = nullptr;  // to be cancelled
  bool stop_ = false;
  bool came_ = false;  // an update since the last wait
  std::thread thread_;
};

}  // namespace lanyard
