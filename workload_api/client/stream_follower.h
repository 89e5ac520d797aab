// Keeps one stream of the Workload API open: reads it on a thread of its own, and comes back with backoff when it ends.
//
// What the handlers are told: each message, and how each attempt ended. A handler that refuses a message ends that
// attempt; what was known before stays known. After a final status (workload_channel.h) nobody asks again; after
// everything else, a refusal too, it does.
//
// Lifetime: the destructor ends the call and the thread; it waits for a handler that runs, for nothing else. Thread:
// constructor and destructor any; handlers on the thread of the stream.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "node_agent/base/status.h"
#include "node_agent/base/thread_name.h"
#include "workload_api/client/backoff.h"
#include "workload_api/client/workload_channel.h"

namespace lanyard {

template <class Response>
class StreamFollower {
 public:
  struct Handlers {
    std::function<std::unique_ptr<grpc::ClientReader<Response>>(grpc::ClientContext&)> open;
    std::function<Status(Response&)> take;
    std::function<void(const Status&)> ended;  // never OK
  };

  // May throw std::system_error when no thread can be had.
  explicit StreamFollower(Handlers handlers) : handlers_(std::move(handlers)), thread_([this] { Run(); }) {}
  ~StreamFollower() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      if (call_ != nullptr) call_->TryCancel();
    }
    wake_.notify_all();
    thread_.join();
  }
  StreamFollower(const StreamFollower&) = delete;
  StreamFollower& operator=(const StreamFollower&) = delete;

 private:
  void Run() {
    NameThisThread("spiffe-stream");
    Backoff backoff;
    while (true) {
      bool taken = false;
      const Status end = FollowOnce(taken);
      std::unique_lock lock(mutex_);
      if (stop_) return;
      lock.unlock();
      handlers_.ended(end);
      if (IsFinal(end)) return;
      if (taken) backoff.Reset();
      lock.lock();
      if (wake_.wait_for(lock, backoff.Next(), [this] { return stop_; })) return;
    }
  }

  // `taken`: whether a message was.
  Status FollowOnce(bool& taken) {
    grpc::ClientContext context;
    PrepareCall(context);
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return Error(StatusCode::kCancelled, "closed");
      call_ = &context;
    }
    const auto reader = handlers_.open(context);
    Status refused;
    Response message;
    while (refused.ok() && reader->Read(&message)) {
      refused = handlers_.take(message);
      taken |= refused.ok();
    }
    if (!refused.ok()) context.TryCancel();
    const grpc::Status end = reader->Finish();
    const std::lock_guard lock(mutex_);
    call_ = nullptr;
    // Whatever is wrong with a message, the next one may be right
    if (!refused.ok()) return Error(StatusCode::kDataLoss, "{}", Message(refused));
    return end.ok() ? Error(StatusCode::kUnavailable, "the Workload API ended the stream") : StatusOf(end);
  }

  const Handlers handlers_;
  std::mutex mutex_;  // guards call_ and stop_
  std::condition_variable wake_;
  grpc::ClientContext* call_ = nullptr;  // to be cancelled
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace lanyard
