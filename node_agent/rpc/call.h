// One RPC as a service sees it: a Call to answer on, and a CallHandler that the service makes for it.
//
// The server makes a handler when a call of its method arrives, feeds it the client's messages, and destroys it when
// the RPC is over for whatever reason: finished, cancelled, connection gone. Destruction is how a handler learns of a
// cancellation. The Call outlives its handler. The next message is read only when no Send is in flight, so a client
// that does not read cannot make us queue.
//
// Thread: loop; no callback runs inside a function of Call.
#pragma once

#include <absl/functional/any_invocable.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "node_agent/rpc/connection.h"

namespace lanyard {

class Call {
 public:
  virtual ~Call() = default;

  // Who calls; never null, admitted, and still running when the handler was made.
  virtual const ConnectionPtr& connection() const = 0;
  // "/SpiffeWorkloadAPI/FetchX509SVID"
  virtual std::string_view method() const = 0;
  // Every value of a metadata key (lower case), in no certain order; valid as long as the Call.
  virtual std::vector<std::string_view> Metadata(std::string_view key) const = 0;

  // True from Send until its message has left for the peer. The service sends nothing else meanwhile: only the newest
  // state is worth it.
  virtual bool sending() const = 0;
  // Sends one message; must not be called while sending(). `sent` runs when the next one may be sent; never when the
  // RPC is over.
  virtual void Send(grpc::ByteBuffer message, absl::AnyInvocable<void()> sent = nullptr) = 0;
  // The last message and OK in one: Send and Finish. Must not be called while sending().
  virtual void Reply(grpc::ByteBuffer message) = 0;
  // Ends the RPC once a message in flight has left. The handler gets no more callbacks and is destroyed soon, not
  // inside Finish.
  virtual void Finish(const Status& status) = 0;
};

class CallHandler {
 public:
  virtual ~CallHandler() = default;
  virtual void OnMessage(grpc::ByteBuffer message) = 0;
  // The client sends no more, or its next message was refused by gRPC (too large, broken).
  virtual void OnHalfClose() {}
};

// May finish the call at once, and may then return null.
using HandlerFactory = std::function<std::unique_ptr<CallHandler>(Call&)>;

// Full method name ("/package.Service/Method") → its handlers.
using Methods = std::map<std::string, HandlerFactory, std::less<>>;

// The message as bytes whose slice all streams that send it share; the bytes are zeroed when the last of them is done,
// since they may hold private keys. (gRPC's own copies towards the kernel are beyond our reach.)
grpc::ByteBuffer SerializeShared(const google::protobuf::MessageLite& message);

// InvalidArgument when the bytes are no such message.
Status ParseMessage(grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message);

// A handler of a unary or server-streaming method: one request, then answers. OnRequest runs as soon as the request is
// there; a request that does not parse, none at all, or a second one ends the call with InvalidArgument.
template <class Request>
class OneRequestHandler : public CallHandler {
 public:
  explicit OneRequestHandler(Call& call) : call_(call) {}

  void OnMessage(grpc::ByteBuffer bytes) final {
    if (seen_)
      return call_.Finish(
          Error(StatusCode::kInvalidArgument, "more than one request message; send one and close the stream"));
    seen_ = true;
    Request request;
    if (Status parsed = ParseMessage(bytes, request); !parsed.ok()) return call_.Finish(parsed);
    OnRequest(std::move(request));
  }

  void OnHalfClose() final {
    if (!seen_) call_.Finish(Error(StatusCode::kInvalidArgument, "no request message, or one larger than 16384 bytes"));
  }

 protected:
  virtual void OnRequest(Request request) = 0;
  Call& call() { return call_; }

 private:
  Call& call_;
  bool seen_ = false;
};

}  // namespace lanyard
