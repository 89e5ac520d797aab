// Work that may hang, kept from filling the thread pool.
//
// A caller's executable may lie on a file system that the caller serves itself and never answers from; a directory
// service may be away. Such a job sits in its pool thread until the kernel lets go. So there are fewer jobs than
// threads, each owner (a uid) has few of them, and the owners wait in turn: what hangs stops its owner and nobody else.
// Since one user may own many uids, and one dead file system may be mounted into many containers, all jobs of uids
// together, and all of containers, leave places for the others (the user database, the kubelet).
//
// Lifetime: the loop outlives it; jobs still running when it is destroyed finish unheard. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>

#include "node_agent/base/event_loop.h"

namespace lanyard {

struct BlockingLimits {
  int total;                                            // jobs in the pool at a time; below the pool's size
  int per_owner;                                        // of these, with one owner
  int of_uids = std::numeric_limits<int>::max();        // of these, with uids
  int of_containers = std::numeric_limits<int>::max();  // and with containers
};

// One less than libuv's pool has threads (UV_THREADPOOL_SIZE, else 4), at most two of one owner, half of uids, and of
// containers what leaves one for the others.
BlockingLimits DefaultBlockingLimits();

class BlockingJobs {
 public:
  // Destroy it to lose interest: a job that waits is dropped, of one that runs `done` is never called.
  struct Ticket {
    virtual ~Ticket() = default;
  };
  using Owner = uint64_t;
  // Of jobs that belong to no uid; uids have 32 bits.
  static constexpr Owner kUserDatabase = Owner{1} << 32;
  static constexpr Owner kKubelet = kUserDatabase + 1;
  // A container's, by its id of hexadecimal digits: what hangs for one (a path that is mounted into it) stops no other.
  static Owner OfContainer(std::string_view id);

  BlockingJobs(EventLoop& loop, BlockingLimits limits);
  ~BlockingJobs();

  // Runs `work` in the pool in its turn, then `done` on the loop; never before Submit has returned.
  [[nodiscard]] std::unique_ptr<Ticket> Submit(Owner owner, EventLoop::Task work, EventLoop::Task done);

  int running() const;

 private:
  struct Job;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
