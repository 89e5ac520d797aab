#include "attestors/cri_client.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
#include <thread>
#include <utility>

#include "node_agent/base/fd.h"
#include "node_agent/base/printable.h"
#include "node_agent/base/thread_name.h"
#include "node_agent/base/trusted_socket.h"

namespace lanyard {
namespace {

constexpr size_t kMaxQuoted = 300;  // bytes of what the runtime says went wrong

// A channel over a connection that was checked. It cannot reconnect: a new connection is checked anew.
class CheckedChannel {
 public:
  static Result<std::shared_ptr<CheckedChannel>> Connect(const std::string& socket_path) {
    Result<UniqueFd> connected = ConnectTrusted(socket_path);
    // That there is no socket says nothing of a container.
    if (!connected.ok()) {
      const bool missing = connected.status().code() == StatusCode::kNotFound;
      return Error(StatusCode::kUnavailable, "{}{}", Message(connected.status()),
                   missing ? "; is the runtime running, and is this its socket?" : "");
    }
    UniqueFd connection = *std::move(connected);
    UniqueFd watched(fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    if (!watched) return ErrnoStatus(errno, "duplicate the connection");
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(CriClient::kMaxAnswerBytes);
    arguments.SetInt("grpc.per_message_compression", 0);
    arguments.SetInt("grpc.per_message_decompression", 0);  // a short answer must not become a long one
    arguments.SetInt("grpc.enable_channelz", 0);
    arguments.SetInt("grpc.http2.bdp_probe", 0);
    auto checked = std::make_shared<CheckedChannel>();
    checked->channel = grpc::CreateCustomInsecureChannelFromFd("localhost", connection.release(), arguments);
    checked->watched = std::move(watched);
    return checked;
  }

  // False once either side has shut the connection down.
  bool IsOpen() const {
    pollfd asked{watched.get(), POLLRDHUP, 0};
    return poll(&asked, 1, 0) == 0;
  }

  std::shared_ptr<grpc::Channel> channel;
  UniqueFd watched;  // the same connection, to look at; gRPC owns its own
};
using CheckedChannelPtr = std::shared_ptr<CheckedChannel>;

gpr_timespec Within(std::chrono::nanoseconds time) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(time.count(), GPR_TIMESPAN));
}

Status ToStatus(const grpc::Status& status) {
  std::string said = Printable(std::string_view(status.error_message()).substr(0, kMaxQuoted));
  if (said.empty()) said = "no reason given";
  switch (status.error_code()) {
    case grpc::StatusCode::NOT_FOUND:
      return Error(StatusCode::kNotFound, "{}", said);
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Error(StatusCode::kDeadlineExceeded, "no answer in time");
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Error(StatusCode::kResourceExhausted, "{}", said);
    case grpc::StatusCode::UNIMPLEMENTED:
      return Error(StatusCode::kFailedPrecondition,
                   "it does not offer the CRI v1 ({}); is this the runtime's socket, and is containerd's cri plugin "
                   "enabled?",
                   said);
    default:
      return Error(StatusCode::kUnavailable, "{}", said);
  }
}

// One call, in line or under way. Shared by its ticket, the line and, while gRPC works on it, by its tag.
class Call : public std::enable_shared_from_this<Call> {
 public:
  virtual ~Call() = default;
  virtual void Start(const CheckedChannel& over, gpr_timespec until, grpc::CompletionQueue& queue) = 0;
  virtual Status Read() = 0;  // what came, when gRPC says that it was well
  virtual void Finish(const Status& status) = 0;
  virtual void Forget() = 0;  // `done` is never called any more

  Deadline deadline;
  grpc::ClientContext context;
  grpc::Status status;
  CheckedChannelPtr channel;  // set when it was started
};
using CallPtr = std::shared_ptr<Call>;

}  // namespace

struct CriClient::State : std::enable_shared_from_this<State> {
  State(EventLoop& event_loop, Clock& given_clock, std::string path)
      : loop(event_loop), clock(given_clock), socket_path(std::move(path)) {}

  void Begin() {
    poller = std::thread([this] {
      NameThisThread("cri");
      Poll();
    });
  }

  void End() {
    ended = true;
    line.clear();
    for (const CallPtr& call : under_way) {
      call->Forget();
      call->context.TryCancel();
    }
    queue.Shutdown();
    poller.join();
    under_way.clear();
  }

  // Thread: the polling one.
  void Poll() {
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
      // gRPC's queue makes what happened before a call was started visible here; this tells ThreadSanitizer too, which
      // does not see into gRPC.
      static_cast<void>(started.load(std::memory_order_acquire));
      const std::unique_ptr<CallPtr> call(static_cast<CallPtr*>(tag));
      loop.Post([weak = weak_from_this(), call = std::move(*call)] {
        if (auto alive = weak.lock()) alive->OnAnswer(call);
      });
    }
  }

  void Join(const CallPtr& call) {
    line.push_back(call);
    // Not at once: an answer may not come before the one who asks has his ticket.
    loop.Post([weak = weak_from_this()] {
      if (auto alive = weak.lock()) alive->StartSome();
    });
  }

  void StartSome() {
    while (!ended && !line.empty() && under_way.size() < kMaxCalls) {
      const CallPtr call = std::move(line.front());
      line.pop_front();
      const std::chrono::nanoseconds left = call->deadline - clock.MonoNow();
      Status ready = left.count() > 0 ? Connect() : Error(StatusCode::kDeadlineExceeded, "no answer in time");
      if (!ready.ok()) {
        call->Finish(About(ready));
        continue;
      }
      call->channel = channel;
      under_way.insert(call);
      started.fetch_add(1, std::memory_order_release);
      call->Start(*channel, Within(left), queue);
    }
  }

  Status Connect() {
    if (channel != nullptr && channel->IsOpen()) return OkStatus();
    channel.reset();
    ASSIGN_OR_RETURN(channel, CheckedChannel::Connect(socket_path));
    return OkStatus();
  }

  void OnAnswer(const CallPtr& call) {
    if (ended) return;
    under_way.erase(call);
    const Status status = call->status.ok() ? call->Read() : ToStatus(call->status);
    // It may be the connection that is at fault: the next call gets a new one.
    if (status.code() == StatusCode::kUnavailable && call->channel == channel) channel.reset();
    call->channel.reset();
    StartSome();
    call->Finish(About(status));
  }

  void Leave(const CallPtr& call) {
    call->Forget();
    if (under_way.contains(call)) {
      call->context.TryCancel();  // its place is free when gRPC gives it back
    } else {
      line.erase(std::remove(line.begin(), line.end(), call), line.end());
    }
  }

  Status About(const Status& status) const { return Annotate(status, "container runtime at {}", socket_path); }

  EventLoop& loop;
  Clock& clock;
  const std::string socket_path;
  grpc::CompletionQueue queue;
  std::atomic<uint64_t> started{0};
  std::thread poller;
  CheckedChannelPtr channel;  // null: to be made
  std::deque<CallPtr> line;
  std::set<CallPtr> under_way;
  bool ended = false;
};

template <class Request, class Answer>
class CriClient::UnaryCall : public Call {
 public:
  struct Claim : Ticket {
    ~Claim() override {
      auto alive = state.lock();
      if (alive) alive->Leave(call);
    }
    std::weak_ptr<State> state;
    CallPtr call;
  };

  static std::unique_ptr<Ticket> Ask(const std::shared_ptr<State>& state, Request request, Deadline deadline,
                                     Done<Answer> done, const char* method) {
    auto call = std::make_shared<UnaryCall>();
    call->request_ = std::move(request);
    call->deadline = deadline;
    call->done_ = std::move(done);
    call->method_ = method;
    auto claim = std::make_unique<Claim>();
    claim->state = state;
    claim->call = call;
    state->Join(call);
    return claim;
  }

  void Start(const CheckedChannel& over, gpr_timespec until, grpc::CompletionQueue& queue) override {
    context.set_deadline(until);
    reader_ = grpc::TemplatedGenericStub<Request, grpc::ByteBuffer>(over.channel)
                  .PrepareUnaryCall(&context, method_, request_, &queue);
    reader_->StartCall();
    reader_->Finish(&bytes_, &status, new CallPtr(shared_from_this()));
  }

  Status Read() override {
    // gRPC takes "HTTP/1.1 200 OK" for success without a message.
    const bool read = bytes_.Valid() && grpc::SerializationTraits<Answer>::Deserialize(&bytes_, &answer_).ok();
    return read ? OkStatus() : Error(StatusCode::kUnavailable, "what answers there does not speak the CRI");
  }

  void Finish(const Status& finished) override {
    if (!done_) return;
    Done<Answer> done = std::exchange(done_, nullptr);
    std::move(done)(finished.ok() ? Result<Answer>(std::move(answer_)) : Result<Answer>(finished));
  }

  void Forget() override { done_ = nullptr; }

 private:
  Request request_;
  grpc::ByteBuffer bytes_;
  Answer answer_;
  Done<Answer> done_;  // empty once called, or when nobody is interested any more
  const char* method_ = nullptr;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader_;
};

CriClient::CriClient(EventLoop& loop, Clock& clock, std::string socket_path)
    : state_(std::make_shared<State>(loop, clock, std::move(socket_path))) {
  state_->Begin();
}

CriClient::~CriClient() {
  state_->End();
}

std::unique_ptr<CriClient::Ticket> CriClient::ContainerStatus(cri::ContainerStatusRequest request, Deadline deadline,
                                                              Done<cri::ContainerStatusResponse> done) {
  return UnaryCall<cri::ContainerStatusRequest, cri::ContainerStatusResponse>::Ask(
      state_, std::move(request), deadline, std::move(done), "/runtime.v1.RuntimeService/ContainerStatus");
}

std::unique_ptr<CriClient::Ticket> CriClient::ImageStatus(cri::ImageStatusRequest request, Deadline deadline,
                                                          Done<cri::ImageStatusResponse> done) {
  return UnaryCall<cri::ImageStatusRequest, cri::ImageStatusResponse>::Ask(
      state_, std::move(request), deadline, std::move(done), "/runtime.v1.ImageService/ImageStatus");
}

const std::string& CriClient::socket_path() const {
  return state_->socket_path;
}

}  // namespace lanyard
