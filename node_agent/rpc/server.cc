#include "node_agent/rpc/server.h"

#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <malloc.h>

#include <condition_variable>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "node_agent/base/log.h"
#include "node_agent/rpc/load_peak.h"
#include "node_agent/rpc/server_call.h"

namespace lanyard {
namespace {

constexpr int kOutstandingRequests = 64;  // with one, honest clients wait tens of milliseconds behind a burst
constexpr auto kTrimDelay = std::chrono::seconds(1);

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

  std::function<void()> drain;  // null when the server is gone; loop thread only
};

class AsyncServer : public RpcServer, private CallOwner {
 public:
  AsyncServer(EventLoop& loop, Clock& clock, Methods methods)
      : loop_(loop), clock_(clock), methods_(std::move(methods)), inbox_(std::make_shared<Inbox>()) {
    inbox_->drain = [this] { Drain(); };
  }

  ~AsyncServer() override {
    inbox_->drain = nullptr;
    if (listener_ != nullptr) listener_->StopAccepting();
    if (poller_.joinable()) Stop();
  }

  Status Begin(PeerResources& resources, RpcServerOptions options) {
    const std::string path = options.socket.path;
    ASSIGN_OR_RETURN(PeerSocket socket, PeerSocket::Open(std::move(options.socket)));
    ASSIGN_OR_RETURN(
        listener_, MakeListener(loop_, clock_, resources, std::move(socket), options.listener,
                                [this](UniqueFd fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd.release()); }));
    grpc::ServerBuilder builder;
    SetChannelArguments(builder);
    queue_ = builder.AddCompletionQueue();
    builder.RegisterAsyncGenericService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      queue_->Shutdown();
      return Error(StatusCode::kInternal, "start the gRPC server of {}", path);
    }
    poller_ = std::thread([this] { Poll(); });
    for (int i = 0; i < kOutstandingRequests; ++i) RequestOne();
    return OkStatus();
  }

  void Shutdown(Deadline deadline, absl::AnyInvocable<void()> done) override {
    listener_->StopAccepting();
    draining_ = true;
    shutdown_done_ = std::move(done);
    for (auto& [raw, call] : calls_) call->Finish(ShuttingDown());
    shutdown_alarm_ = clock_.CallAt(calls_.empty() ? clock_.MonoNow() : deadline, [this] { FinishShutdown(); });
  }

  void LimitPerUid(size_t most) override { listener_->LimitPerUid(most); }
  RpcServerStats stats() const override {
    return {.connections = listener_->stats(), .live_calls = calls_.size(), .calls = matched_};
  }

 private:
  static Status ShuttingDown() { return Error(StatusCode::kUnavailable, "agent is shutting down"); }

  // Measured one by one; each is worth memory for an idle stream, or bounds what a client may send.
  static void SetChannelArguments(grpc::ServerBuilder& builder) {
    const std::pair<const char*, int> arguments[] = {
        {"grpc.max_receive_message_length", 16384},
        {"grpc.max_metadata_size", 8192},
        {"grpc.max_concurrent_streams", 100},
        {"grpc.per_message_compression",
         0},  // responses hold keys: compressing secrets together with a caller's data leaks
        {"grpc.enable_channelz", 0},
        {"grpc.http2.hpack_table_size.decoder", 0},
        {"grpc.http2.hpack_table_size.encoder", 0},
        {"grpc.keepalive_time_ms",
         std::numeric_limits<int>::max()},  // the kernel tells when a peer goes; a stopped one keeps its stream
        {"grpc.http2.bdp_probe", 0},        // pings that measure a network which is not there
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
      order_.AfterNext();
      auto* tag = static_cast<CallTag*>(raw);
      if (tag->event == CallEvent::kMatched) {
        if (!ok) {  // never matched: the server is shutting down, and no other tag of this call will come
          delete tag->call;
          continue;
        }
        tag->call->OnMatchedByPoller();
        RequestOne();
      }
      Hand({tag, ok});
    }
    std::lock_guard lock(inbox_->mutex);
    inbox_->closed = true;
    inbox_->changed.notify_one();
  }

  void Hand(Inbox::Event event) {
    {
      std::lock_guard lock(inbox_->mutex);
      inbox_->events.push_back(event);
      inbox_->changed.notify_one();
      if (std::exchange(inbox_->posted, true)) return;
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
        ++matched_;
        calls_.emplace(call, std::unique_ptr<ServerCall>(call));
        peak_.Reach(calls_.size());
        if (stopping_) call->Abandon();
      }
      if (call->OnEvent(event.tag->event, event.ok)) over.push_back(call);
    }
    ClearBuried();  // a handler goes before its call
    for (ServerCall* call : over) calls_.erase(call);
    if (draining_ && calls_.empty() && shutdown_done_)
      shutdown_alarm_ = clock_.CallAt(clock_.MonoNow(), [this] { FinishShutdown(); });
    TrimWhenHalved();
  }

  // A handler's destructor may end other calls, so that others are buried meanwhile.
  void ClearBuried() {
    while (!buried_.empty()) std::exchange(buried_, {}).clear();
  }

  void FinishShutdown() {
    auto done = std::exchange(shutdown_done_, nullptr);
    if (done) done();  // may destroy *this
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

  ConnectionPtr FindConnection(int fd) const override { return listener_->Find(fd); }

  Result<std::unique_ptr<CallHandler>> MakeHandler(Call& call) override {
    if (draining_) return ShuttingDown();
    auto method = methods_.find(call.method());
    if (method == methods_.end()) {
      return Error(StatusCode::kUnimplemented, "unknown method {}", call.method().substr(0, 256));
    }
    return method->second(call);
  }

  void Bury(std::unique_ptr<CallHandler> handler) override {
    buried_.push_back(std::move(handler));
    {
      std::lock_guard lock(inbox_->mutex);
      if (std::exchange(inbox_->posted, true)) return;
    }
    PostDrain();
  }

  EventLoop& loop_;
  Clock& clock_;
  const Methods methods_;
  std::shared_ptr<Inbox> inbox_;
  QueueOrder order_;
  std::unique_ptr<Listener> listener_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread poller_;

  // Guards stopping_: no call may be requested once the queue is about to close.
  std::mutex request_mutex_;
  bool stopping_ = false;  // written by the loop thread only

  std::unordered_map<ServerCall*, std::unique_ptr<ServerCall>> calls_;  // matched, not yet over
  std::vector<std::unique_ptr<CallHandler>> buried_;
  uint64_t matched_ = 0;
  LoadPeak peak_;
  bool draining_ = false;
  absl::AnyInvocable<void()> shutdown_done_;
  std::unique_ptr<Clock::Alarm> shutdown_alarm_;
  std::unique_ptr<Clock::Alarm> trim_alarm_;
};

// gRPC logs what clients do wrong; they must not fill our log with it.
void LogFromGrpc(gpr_log_func_args* line) {
  LANYARD_LOG_DEBUG("grpc: {}", line->message);
}

}  // namespace

void PrepareProcessForGrpc() {
  setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", 1);  // on by default; keeps an 8 kB slice for each connection
  absl::SetMutexDeadlockDetectionMode(
      absl::OnDeadlockCycle::kIgnore);  // Debian builds abseil with the graph of locks switched on
  gpr_set_log_function(LogFromGrpc);
}

Result<std::unique_ptr<RpcServer>> RpcServer::Start(EventLoop& loop, Clock& clock, PeerResources& resources,
                                                    RpcServerOptions options, Methods methods) {
  auto server = std::make_unique<AsyncServer>(loop, clock, std::move(methods));
  RETURN_IF_ERROR(server->Begin(resources, std::move(options)));
  return server;
}

}  // namespace lanyard
