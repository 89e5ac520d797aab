// One RPC inside the engine: gRPC's context and stream, and which of its operations are under way.
//
// Five tags come back from the completion queue: matched, done, read, write, finish. The call is deleted when it was
// matched and all tags that were set going are back; that also is what frees its connection's fd number.
//
// A call that was matched is entered at once (is it known whose it is, is there room for it?). It is on its account
// also when its peer is not admitted, who is told that and nothing else, but not without limit. When the client's
// request is there as well, it waits in line and begins when it is its turn (engine.cc): who sends none takes nobody's
// turn.
//
// Thread: OnMatchedByPoller on the polling thread; then loop only.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "node_agent/rpc/account.h"
#include "node_agent/rpc/call.h"

namespace lanyard {

class ServerCall;

enum class CallEvent { kMatched, kDone, kRead, kWrite, kFinish };

struct CallTag {
  ServerCall* call;
  CallEvent event;
};

// Says that what happened before an operation was started happened before its tag came back. gRPC's queue makes it so;
// this tells ThreadSanitizer too, which does not see into gRPC.
class QueueOrder {
 public:
  void BeforeStart() { started_.fetch_add(1, std::memory_order_release); }
  void AfterNext() const { static_cast<void>(started_.load(std::memory_order_acquire)); }

 private:
  std::atomic<uint64_t> started_{0};
};

inline constexpr uint64_t kNoDoor = 0;

struct FoundConnection {
  ConnectionPtr connection;
  uint64_t door = kNoDoor;  // by which it came in
};

// What a call needs of its engine.
class CallOwner {
 public:
  virtual ~CallOwner() = default;
  virtual FoundConnection FindConnection(int fd) const = 0;  // Thread: any
  // Whether the account of its connection may have another call.
  virtual Result<CallPermit> Admit(const ServerCall& call) = 0;
  // The handler of a new call, or why there is none.
  virtual Result<std::unique_ptr<CallHandler>> MakeHandler(ServerCall& call) = 0;
  // A call that was begun is answered for the first time, or over: another one of its account may begin.
  virtual void OnTurnOver(const Account& account) = 0;
  // Destroys the handler once no function of it is running.
  virtual void Bury(std::unique_ptr<CallHandler> handler) = 0;
};

class ServerCall : public Call {
 public:
  ServerCall(CallOwner& owner, QueueOrder& order) : owner_(owner), order_(order) {
    context_.AsyncNotifyWhenDone(&done_tag_);
  }

  void Request(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue) {
    order_.BeforeStart();
    service.RequestCall(&context_, &stream_, &queue, &queue, &matched_tag_);
  }
  // Takes the connection while the call's fd number is certainly its own, and has the request read.
  void OnMatchedByPoller();
  // After its first event: lets it in, or refuses it.
  void Enter();
  // After any other: true, once, when it is to wait for its turn to Begin.
  bool JoinsLine();
  // Makes the handler. True when the call is over and may be deleted.
  bool Begin();
  // Of an event but the first: true when the call is over and may be deleted.
  bool OnEvent(CallEvent event, bool ok);
  // Its door or the engine goes away: no more operations; what is under way comes back.
  void Abandon();

  uint64_t door() const { return door_; }
  const ConnectionPtr& connection() const override { return connection_; }
  std::string_view method() const override { return context_.method(); }
  std::vector<std::string_view> Metadata(std::string_view key) const override;
  bool sending() const override { return sending_; }
  void Send(grpc::ByteBuffer message, absl::AnyInvocable<void()> sent) override;
  void Reply(grpc::ByteBuffer message) override;
  void Finish(const Status& status) override;

 private:
  bool closed() const { return finished_ || over_; }
  Status LetIn();
  Status MakeHandler();
  void TakeRead(bool ok);
  void StartRead();
  void ReadNext();
  void StartFinish();
  void OnAnswered();
  void EndTurn();
  void DropHandler();

  CallOwner& owner_;
  QueueOrder& order_;
  CallTag matched_tag_{this, CallEvent::kMatched};
  CallTag done_tag_{this, CallEvent::kDone};
  CallTag read_tag_{this, CallEvent::kRead};
  CallTag write_tag_{this, CallEvent::kWrite};
  CallTag finish_tag_{this, CallEvent::kFinish};
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  ConnectionPtr connection_;
  uint64_t door_ = kNoDoor;
  std::optional<CallPermit> permit_;  // none: was not let in
  std::unique_ptr<CallHandler> handler_;
  grpc::ByteBuffer incoming_;
  absl::AnyInvocable<void()> sent_;
  std::optional<grpc::Status> waiting_finish_;  // for the message in flight
  int under_way_ = 1;     // tags that will come back (the done tag always does), and the turn to begin
  bool in_line_ = false;  // has been
  bool begun_ = false;
  bool has_turn_ = false;           // from Begin() to the first answer
  std::optional<bool> early_read_;  // came before the call began
  bool reading_ = false;
  bool sending_ = false;
  bool half_closed_ = false;
  bool finished_ = false;  // by us
  bool over_ = false;      // by the done tag, or the server's end
};

}  // namespace lanyard
