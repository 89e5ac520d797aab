// A source's hold on the feed that it shares with the others of its client, until it is closed.
//
// Thread: any. Reading never waits. Private to this library.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "node_agent/base/status.h"
#include "workload_api/client/snapshot_cell.h"

namespace lanyard {

template <class Feed>
class Following {
 public:
  using StatePtr = std::shared_ptr<const typename Feed::State>;

  Following(std::string endpoint, std::shared_ptr<const Feed> feed)
      : endpoint_(std::move(endpoint)), feed_(std::move(feed)) {}

  // All of these are FailedPrecondition after Close().
  Result<std::shared_ptr<const Feed>> feed() const {
    std::shared_ptr<const Feed> feed = feed_.Read();
    if (feed == nullptr) return Error(StatusCode::kFailedPrecondition, "the source is closed");
    return feed;
  }
  Result<StatePtr> Now() const {
    ASSIGN_OR_RETURN(const std::shared_ptr<const Feed> open, feed());
    return open->state().Read();
  }
  // The state at the end of waiting for `done`.
  template <class Done>
  Result<StatePtr> WaitFor(std::chrono::milliseconds timeout, Done done) const {
    ASSIGN_OR_RETURN(const std::shared_ptr<const Feed> open, feed());
    StatePtr state = open->state().WaitFor(
        timeout, [&](const typename Feed::State& now) { return feed_.Read() == nullptr || done(now); });
    RETURN_IF_ERROR(feed().status());
    return state;
  }

  // Wakes whoever waits. The last one that has a feed ends it.
  void Close() {
    const std::shared_ptr<const Feed> open = feed_.Read();
    feed_.Replace(nullptr);
    if (open != nullptr) open->state().Wake();
  }

  // With the words where it comes from.
  Status FromApi(const Status& status) const { return Annotate(status, "Workload API at {}", endpoint_); }

 private:
  const std::string endpoint_;
  SnapshotCell<Feed> feed_;  // nullptr: closed
};

}  // namespace lanyard
