#include "node_agent/base/event_loop.h"

#include <uv.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>

#include "node_agent/base/uv_handle.h"

namespace lanyard {

struct EventLoop::State {
  uv_loop_t loop{};
  UvHandle<uv_async_t> wake{this};
  std::thread::id thread = std::this_thread::get_id();
  std::atomic<int> in_pool{0};

  // Guards `tasks` only; never held while one runs.
  mutable std::mutex mutex;
  std::deque<Task> tasks;

  void RunTasks() {
    std::deque<Task> batch;
    {
      std::lock_guard lock(mutex);
      batch.swap(tasks);
    }
    for (Task& task : batch) task();
  }
};

EventLoop::EventLoop() : state_(std::make_unique<State>()) {
  if (uv_loop_init(&state_->loop) != 0)
    std::abort();  // only on lack of memory or file descriptors before anything runs
  if (uv_async_init(&state_->loop, state_->wake.get(), [](uv_async_t* handle) {
        if (auto* state = Owner<State>(handle)) state->RunTasks();
      }) != 0) {
    std::abort();
  }
}

EventLoop::~EventLoop() {
  while (state_->in_pool.load() > 0) uv_run(&state_->loop, UV_RUN_ONCE);
  {
    std::lock_guard lock(state_->mutex);
    state_->tasks.clear();
  }
  state_->wake.Close();
  while (uv_run(&state_->loop, UV_RUN_NOWAIT) != 0) {
    // Only pending close callbacks are left; a handle that its owner did not close would spin here, and uv_loop_close
    // would say so.
    if (uv_loop_alive(&state_->loop) == 0) break;
  }
  uv_loop_close(&state_->loop);
}

void EventLoop::Run() {
  state_->thread = std::this_thread::get_id();
  uv_run(&state_->loop, UV_RUN_DEFAULT);
}

void EventLoop::Stop() {
  Post([loop = &state_->loop] { uv_stop(loop); });
}

void EventLoop::RunOnce(int wait_ms) {
  state_->thread = std::this_thread::get_id();
  uv_timer_t* timer = new uv_timer_t;
  uv_timer_init(&state_->loop, timer);
  uv_update_time(&state_->loop);  // else the timer may be over before the poll begins, which then waits for ever
  uv_timer_start(
      timer, [](uv_timer_t*) {}, static_cast<uint64_t>(wait_ms), 0);
  uv_run(&state_->loop, wait_ms == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
  uv_close(reinterpret_cast<uv_handle_t*>(timer),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_timer_t*>(handle); });
  uv_run(&state_->loop, UV_RUN_NOWAIT);
}

void EventLoop::Post(Task task) {
  {
    std::lock_guard lock(state_->mutex);
    state_->tasks.push_back(std::move(task));
  }
  uv_async_send(state_->wake.get());
}

void EventLoop::RunInPool(Task work, Task done) {
  struct Job {
    uv_work_t request{};
    State* state;
    Task work;
    Task done;
  };
  auto* job = new Job{{}, state_.get(), std::move(work), std::move(done)};
  job->request.data = job;
  state_->in_pool.fetch_add(1);
  const int queued = uv_queue_work(
      &state_->loop, &job->request, [](uv_work_t* request) { static_cast<Job*>(request->data)->work(); },
      [](uv_work_t* request, int /*status*/) {
        std::unique_ptr<Job> owned(static_cast<Job*>(request->data));
        owned->state->in_pool.fetch_sub(1);
        owned->done();
      });
  if (queued != 0) std::abort();  // UV_EINVAL only: no work function
}

bool EventLoop::OnLoopThread() const {
  return std::this_thread::get_id() == state_->thread;
}

bool EventLoop::HasPendingWork() const {
  std::lock_guard lock(state_->mutex);
  return state_->in_pool.load() > 0 || !state_->tasks.empty();
}

uv_loop_s* EventLoop::native() {
  return &state_->loop;
}

}  // namespace lanyard
