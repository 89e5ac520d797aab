// The one thread that owns all mutable state of the agent, over a libuv loop.
//
// Other threads come in by Post(); work that would block (hashing, signing, a slow file system) goes out by RunInPool()
// and comes back on the loop. Tasks posted by one thread run in the order of posting. The destructor waits for what is
// in the pool, and runs what comes back and is posted meanwhile; tasks that are queued then are destroyed without
// running.
//
// Lifetime: outlives everything that posts to it; every libuv handle on it is closed before it is destroyed (the
// destructor runs the pending close callbacks). Thread: Post, Stop and OnLoopThread from any thread, everything else
// from the thread that calls Run.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <type_traits>
#include <utility>

struct uv_loop_s;

namespace lanyard {

class EventLoop {
 public:
  using Task = absl::AnyInvocable<void()>;

  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Runs until Stop(). May be called again afterwards.
  void Run();
  // Makes Run() return after the tasks posted so far. Thread: any.
  void Stop();
  // Runs one round: waits for an event when there is nothing to do, for at most `wait_ms` milliseconds.
  void RunOnce(int wait_ms);

  // Thread: any.
  void Post(Task task);

  // Runs `work` on a pool thread, then `done` on the loop thread. Not cancellable: `done` checks for itself whether
  // anybody still waits.
  void RunInPool(Task work, Task done);

  // The same for work with a result: `done` takes what `work` returned.
  template <class Work, class Done>
    requires(!std::is_void_v<std::invoke_result_t<Work&>>)
  void ComputeInPool(Work work, Done done) {
    using T = std::invoke_result_t<Work&>;
    auto slot = std::make_shared<std::unique_ptr<T>>();
    RunInPool([slot, work = std::move(work)]() mutable { *slot = std::make_unique<T>(work()); },
              [slot, done = std::move(done)]() mutable { std::move(done)(std::move(**slot)); });
  }

  bool OnLoopThread() const;
  // True while work is in the pool or tasks are queued: what the destructor would wait for or drop.
  bool HasPendingWork() const;

  uv_loop_s* native();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
