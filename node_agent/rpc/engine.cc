#include "node_agent/rpc/engine.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <malloc.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "node_agent/base/log.h"
#include "node_agent/base/thread_name.h"
#include "node_agent/rpc/fair_lines.h"
#include "node_agent/rpc/grpc_setup.h"
#include "node_agent/rpc/load_peak.h"
#include "node_agent/rpc/server_call.h"

namespace lanyard {
namespace {

constexpr int kOutstandingRequests = 64;  // with one, honest clients wait tens of milliseconds behind a burst
constexpr int kBeginsPerRound = 4;        // one or two milliseconds
// Of one account, begun and not yet answered. Each takes the loop, the pool and the log several times before it is, so
// they are what another account's call waits for, again and again. With fewer, one account alone would be slower.
constexpr size_t kBegunAtOnce = 4;
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
        OnMatched(call);
      } else if (call->OnEvent(event.tag->event, event.ok)) {
        over.push_back(call);
      } else if (call->JoinsLine()) {
        to_begin_.Push(call->connection()->account.get(), call);
      }
    }
    BeginSome(over);
    ClearBuried();  // a handler goes before its call
    for (ServerCall* call : over) {
      if (Door* door = Find(call->door())) door->door->OnCallOver(--door->live_calls);
      calls_.erase(call);
    }
    TrimWhenHalved();
  }

  void OnMatched(ServerCall* call) {
    calls_.emplace(call, std::unique_ptr<ServerCall>(call));
    peak_.Reach(calls_.size());
    if (Door* door = Find(call->door())) door->door->OnCallBegun(++door->live_calls);
    if (stopping_) call->Abandon();
    call->Enter();
  }

  // One of each account in turn, a few before the loop looks after everything else: beginning a call is most of its
  // cost, and however many one caller sends at once, another's waits for one of each.
  void BeginSome(std::vector<ServerCall*>& over) {
    for (int begun = 0; to_begin_.has_turn() && (stopping_ || begun < kBeginsPerRound); ++begun) {
      ServerCall* call = *to_begin_.Pop();
      if (call->Begin()) over.push_back(call);
    }
    if (to_begin_.has_turn()) DrainAgain();
  }

  void DrainAgain() {
    {
      std::lock_guard lock(inbox_->mutex);
      if (std::exchange(inbox_->posted, true)) return;
    }
    PostDrain();
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
    Drain();
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

  Result<CallPermit> Admit(const ServerCall& call) override {
    Door* door = Find(call.door());
    if (door == nullptr) return ShuttingDown();
    return door->door->Admit(call);
  }

  Result<std::unique_ptr<CallHandler>> MakeHandler(ServerCall& call) override {
    Door* door = Find(call.door());
    if (door == nullptr) return ShuttingDown();
    return door->door->MakeHandler(call);
  }

  void OnTurnOver(const Account& account) override {
    to_begin_.Over(&account);
    if (to_begin_.has_turn()) DrainAgain();
  }

  void Bury(std::unique_ptr<CallHandler> handler) override {
    buried_.push_back(std::move(handler));
    DrainAgain();
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
  FairLines<const Account*, ServerCall*> to_begin_{kBegunAtOnce};       // none is deleted before it was its turn
  std::vector<std::unique_ptr<CallHandler>> buried_;
  LoadPeak peak_;
  std::unique_ptr<Clock::Alarm> trim_alarm_;
};

}  // namespace

Result<std::unique_ptr<RpcEngine>> RpcEngine::Start(EventLoop& loop, Clock& clock) {
  auto engine = std::make_unique<AsyncEngine>(loop, clock);
  RETURN_IF_ERROR(engine->Begin());
  return engine;
}

}  // namespace lanyard
