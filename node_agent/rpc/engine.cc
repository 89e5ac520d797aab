#include "node_agent/rpc/engine.h"

#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <malloc.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "node_agent/base/log.h"
#include "node_agent/base/thread_name.h"
#include "node_agent/rpc/load_peak.h"
#include "node_agent/rpc/server_call.h"

namespace lanyard {
namespace {

constexpr int kOutstandingRequests = 64;  // with one, honest clients wait tens of milliseconds behind a burst
constexpr auto kTrimDelay = std::chrono::seconds(1);

// Measured one by one; each is worth memory for an idle stream, or bounds what a client may send.
void SetChannelArguments(grpc::ServerBuilder& builder) {
  const std::pair<const char*, int> arguments[] = {
      {"grpc.max_receive_message_length", 16384},
      {"grpc.max_metadata_size", 8192},
      {"grpc.max_concurrent_streams", 100},
      // Responses hold keys: compressing secrets together with a caller's data leaks.
      {"grpc.per_message_compression", 0},
      {"grpc.enable_channelz", 0},
      {"grpc.http2.hpack_table_size.decoder", 0},
      {"grpc.http2.hpack_table_size.encoder", 0},
      // The kernel tells when a peer goes; a stopped one keeps its stream.
      {"grpc.keepalive_time_ms", std::numeric_limits<int>::max()},
      {"grpc.http2.bdp_probe", 0},  // pings that measure a network which is not there
      {"grpc.experimental.tcp_read_chunk_size", 256},
      {"grpc.experimental.tcp_min_read_chunk_size", 256},
      {"grpc.experimental.tcp_max_read_chunk_size", 1024},
      // Clients may keep idle streams alive with a ping every 10 s (the least that Go's client allows itself), also
      // without a call.
      {"grpc.keepalive_permit_without_calls", 1},
      {"grpc.http2.min_ping_interval_without_data_ms", 5000},
  };
  for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
}

// What the polling thread hands to the loop: events in order, with one Post for as many as have gathered.
struct Inbox {
  struct Event {
    CallTag* tag;
    bool ok;
  };

  // Guards what follows, but for `drain`.
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Event> events;
  bool posted = false;
  bool closed = false;  // the polling thread has ended

  std::function<void()> drain;  // null when the engine is gone; loop thread only
};

class AsyncEngine : public RpcEngine, private CallOwner {
 public:
  AsyncEngine(EventLoop& loop, Clock& clock) : loop_(loop), clock_(clock), inbox_(std::make_shared<Inbox>()) {
    inbox_->drain = [this] { Drain(); };
  }

  ~AsyncEngine() override {
    inbox_->drain = nullptr;
    if (poller_.joinable()) Stop();
  }

  Status Begin() {
    grpc::ServerBuilder builder;
    SetChannelArguments(builder);
    queue_ = builder.AddCompletionQueue();
    builder.RegisterAsyncGenericService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      queue_->Shutdown();
      return Error(StatusCode::kInternal, "start gRPC's server");
    }
    poller_ = std::thread([this] {
      NameThisThread("rpc");
      Poll();
    });
    for (int i = 0; i < kOutstandingRequests; ++i) RequestOne();
    return OkStatus();
  }

  void Add(RpcDoor& door) override {
    std::lock_guard lock(doors_mutex_);
    doors_.push_back({++last_door_, &door, 0});
  }

  void Remove(const RpcDoor& door) override {
    const uint64_t id = IdOf(door);
    {
      std::lock_guard lock(doors_mutex_);
      std::erase_if(doors_, [id](const Door& one) { return one.id == id; });
    }
    for (auto& [raw, call] : calls_) {
      if (call->door() == id) call->Abandon();
    }
    ClearBuried();
  }

  void Serve(UniqueFd connection) override { grpc::AddInsecureChannelFromFd(server_.get(), connection.release()); }

  void FinishCalls(const RpcDoor& door, const Status& status) override {
    const uint64_t id = IdOf(door);
    for (auto& [raw, call] : calls_) {
      if (call->door() == id) call->Finish(status);
    }
  }

 private:
  struct Door {
    uint64_t id;  // never given twice: an address may be
    RpcDoor* door;
    size_t live_calls;
  };

  // Thread: any.
  void RequestOne() {
    std::lock_guard lock(request_mutex_);
    if (stopping_) return;
    (new ServerCall(*this, order_))->Request(service_, *queue_);
  }

  // Thread: the polling one.
  void Poll() {
    void* raw = nullptr;
    bool ok = false;
    while (queue_->Next(&raw, &ok)) {
      bool matched = TakeEvent(raw, ok);
      // The request of a new call is nearly always there already: both make one hand-over.
      while (matched &&
             queue_->AsyncNext(&raw, &ok, gpr_inf_past(GPR_CLOCK_MONOTONIC)) == grpc::CompletionQueue::GOT_EVENT) {
        matched = TakeEvent(raw, ok);
      }
      Hand();
    }
    std::lock_guard lock(inbox_->mutex);
    inbox_->closed = true;
    inbox_->changed.notify_one();
  }

  // True when it was a new call. Thread: the polling one.
  bool TakeEvent(void* raw, bool ok) {
    order_.AfterNext();
    auto* tag = static_cast<CallTag*>(raw);
    const bool matched = tag->event == CallEvent::kMatched;
    if (matched && !ok) {  // never matched: the server is shutting down, and no other tag of this call will come
      delete tag->call;
      return false;
    }
    if (matched) tag->call->OnMatchedByPoller();
    {
      std::lock_guard lock(inbox_->mutex);
      inbox_->events.push_back({tag, ok});
    }
    if (matched) RequestOne();
    return matched;
  }

  void Hand() {
    {
      std::lock_guard lock(inbox_->mutex);
      inbox_->changed.notify_one();
      if (inbox_->events.empty() || std::exchange(inbox_->posted, true)) return;
    }
    PostDrain();
  }

  void PostDrain() {
    loop_.Post([inbox = inbox_] {
      if (inbox->drain) inbox->drain();
    });
  }

  void Drain() {
    std::vector<Inbox::Event> events;
    {
      std::lock_guard lock(inbox_->mutex);
      events.swap(inbox_->events);
      inbox_->posted = false;
    }
    std::vector<ServerCall*> over;
    for (const Inbox::Event& event : events) {
      ServerCall* call = event.tag->call;
      if (event.tag->event == CallEvent::kMatched) {
        calls_.emplace(call, std::unique_ptr<ServerCall>(call));
        peak_.Reach(calls_.size());
        if (Door* door = Find(call->door())) door->door->OnCallBegun(++door->live_calls);
        if (stopping_) call->Abandon();
      }
      if (call->OnEvent(event.tag->event, event.ok)) over.push_back(call);
    }
    ClearBuried();  // a handler goes before its call
    for (ServerCall* call : over) {
      if (Door* door = Find(call->door())) door->door->OnCallOver(--door->live_calls);
      calls_.erase(call);
    }
    TrimWhenHalved();
  }

  // A handler's destructor may end other calls, so that others are buried meanwhile.
  void ClearBuried() {
    while (!buried_.empty()) std::exchange(buried_, {}).clear();
  }

  // glibc keeps what a burst of streams has used; give it back once, when half of them have gone.
  void TrimWhenHalved() {
    if (!peak_.FellByHalf(calls_.size())) return;
    trim_alarm_ = clock_.CallAfter(kTrimDelay, [this] { loop_.RunInPool([] { malloc_trim(0); }, [] {}); });
  }

  // Cancels everything and takes the remaining events in itself, since the loop is not coming round any more.
  void Stop() {
    {
      std::lock_guard lock(request_mutex_);
      stopping_ = true;
    }
    for (auto& [raw, call] : calls_) call->Abandon();
    ClearBuried();
    bool grpc_down = false;
    std::thread stopper([&] {
      server_->Shutdown(std::chrono::system_clock::now());  // returns when every call has been deleted
      std::lock_guard lock(inbox_->mutex);
      grpc_down = true;
      inbox_->changed.notify_one();
    });
    bool queue_down = false;
    for (bool closed = false; !closed;) {
      bool shut_queue = false;
      {
        std::unique_lock lock(inbox_->mutex);
        inbox_->changed.wait(lock,
                             [&] { return !inbox_->events.empty() || inbox_->closed || (grpc_down && !queue_down); });
        shut_queue = grpc_down && !queue_down && inbox_->events.empty();
        closed = inbox_->closed && inbox_->events.empty();
      }
      Drain();
      if (shut_queue) {
        queue_->Shutdown();
        queue_down = true;
      }
    }
    stopper.join();
    poller_.join();
  }

  // Thread: any.
  FoundConnection FindConnection(int fd) const override {
    std::lock_guard lock(doors_mutex_);
    for (const Door& door : doors_) {
      if (ConnectionPtr connection = door.door->FindConnection(fd)) return {std::move(connection), door.id};
    }
    return {};
  }

  Result<std::unique_ptr<CallHandler>> MakeHandler(ServerCall& call) override {
    Door* door = Find(call.door());
    if (door == nullptr) return Error(StatusCode::kUnavailable, "agent is shutting down");
    return door->door->MakeHandler(call);
  }

  void Bury(std::unique_ptr<CallHandler> handler) override {
    buried_.push_back(std::move(handler));
    {
      std::lock_guard lock(inbox_->mutex);
      if (std::exchange(inbox_->posted, true)) return;
    }
    PostDrain();
  }

  Door* Find(uint64_t id) {
    const auto found = std::find_if(doors_.begin(), doors_.end(), [id](const Door& door) { return door.id == id; });
    return found == doors_.end() ? nullptr : &*found;
  }

  uint64_t IdOf(const RpcDoor& door) const {
    for (const Door& one : doors_) {
      if (one.door == &door) return one.id;
    }
    return kNoDoor;
  }

  EventLoop& loop_;
  Clock& clock_;
  std::shared_ptr<Inbox> inbox_;
  QueueOrder order_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread poller_;

  // Guards which doors there are; only the loop thread changes them, and reads them without the lock.
  mutable std::mutex doors_mutex_;
  std::vector<Door> doors_;
  uint64_t last_door_ = kNoDoor;

  // Guards stopping_: no call may be requested once the queue is about to close.
  std::mutex request_mutex_;
  bool stopping_ = false;  // written by the loop thread only

  std::unordered_map<ServerCall*, std::unique_ptr<ServerCall>> calls_;  // matched, not yet over
  std::vector<std::unique_ptr<CallHandler>> buried_;
  LoadPeak peak_;
  std::unique_ptr<Clock::Alarm> trim_alarm_;
};

// gRPC logs what clients do wrong; they must not fill our log with it.
void LogFromGrpc(gpr_log_func_args* line) {
  LANYARD_LOG_DEBUG("grpc: {}", line->message);
}

}  // namespace

void PrepareProcessForGrpc() {
  // On by default; keeps an 8 kB slice for each connection. There is no other thread yet.
  setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", 1);  // NOLINT(concurrency-mt-unsafe)
  // Debian builds abseil with the graph of locks switched on.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_function(LogFromGrpc);
}

Result<std::unique_ptr<RpcEngine>> RpcEngine::Start(EventLoop& loop, Clock& clock) {
  auto engine = std::make_unique<AsyncEngine>(loop, clock);
  RETURN_IF_ERROR(engine->Begin());
  return engine;
}

}  // namespace lanyard
