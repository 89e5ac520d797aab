#include "node_agent/rpc/server.h"

#include <utility>

namespace lanyard {
namespace {

class SocketServer : public RpcServer, private RpcDoor {
 public:
  SocketServer(EventLoop& loop, Clock& clock, RpcEngine& engine, const CallerLimits& limits, Methods methods)
      : loop_(loop), clock_(clock), engine_(engine), methods_(std::move(methods)), accounts_(clock, limits) {}

  ~SocketServer() override {
    if (listener_ == nullptr) return;
    listener_->StopAccepting();
    engine_.Remove(*this);
  }

  Status Begin(PeerResources& resources, RpcServerOptions options) {
    ASSIGN_OR_RETURN(PeerSocket socket, PeerSocket::Open(std::move(options.socket)));
    on_refused_ = std::move(options.on_refused);
    ASSIGN_OR_RETURN(listener_,
                     MakeListener(loop_, clock_, resources, accounts_, std::move(socket), std::move(options.listener),
                                  [this](UniqueFd connection) { engine_.Serve(std::move(connection)); }));
    engine_.Add(*this);
    return OkStatus();
  }

  void Shutdown(Deadline deadline, absl::AnyInvocable<void()> done) override {
    listener_->StopAccepting();
    draining_ = true;
    shutdown_done_ = std::move(done);
    engine_.FinishCalls(*this, ShuttingDown());
    FinishShutdownAt(live_calls_ == 0 ? clock_.MonoNow() : deadline);
  }

  void SetLimits(const CallerLimits& limits) override { accounts_.SetLimits(limits); }
  RpcServerStats stats() const override {
    return {.connections = listener_->stats(),
            .live_calls = live_calls_,
            .calls = calls_,
            .accounts = accounts_.size(),
            .refused = accounts_.refused(),
            .last_refused = accounts_.last_refused()};
  }

 private:
  ConnectionPtr FindConnection(int fd) const override { return listener_->Find(fd); }

  Result<CallPermit> Admit(const Call& call) override {
    const Connection& connection = *call.connection();
    Result<CallPermit> permit = accounts_.Call(connection.account);
    if (permit.ok()) return permit;
    if (on_refused_) on_refused_(call, permit.status());
    if (accounts_.IsShutOut(*connection.account)) listener_->EndFlooded(connection);
    return permit;
  }

  Result<std::unique_ptr<CallHandler>> MakeHandler(Call& call) override {
    if (draining_) return ShuttingDown();
    auto method = methods_.find(call.method());
    if (method == methods_.end()) {
      return Error(StatusCode::kUnimplemented, "unknown method {}", call.method().substr(0, 256));
    }
    return method->second(call);
  }

  void OnCallBegun(size_t live) override {
    ++calls_;
    live_calls_ = live;
  }

  void OnCallOver(size_t live) override {
    live_calls_ = live;
    if (draining_ && live == 0 && shutdown_done_) FinishShutdownAt(clock_.MonoNow());
  }

  void FinishShutdownAt(Deadline when) {
    shutdown_alarm_ = clock_.CallAt(when, [this] {
      auto done = std::exchange(shutdown_done_, nullptr);
      if (done) done();  // may destroy *this
    });
  }

  EventLoop& loop_;
  Clock& clock_;
  RpcEngine& engine_;
  const Methods methods_;
  AccountTable accounts_;
  std::function<void(const Call&, const Status&)> on_refused_;
  std::unique_ptr<Listener> listener_;
  size_t live_calls_ = 0;
  uint64_t calls_ = 0;
  bool draining_ = false;
  absl::AnyInvocable<void()> shutdown_done_;
  std::unique_ptr<Clock::Alarm> shutdown_alarm_;
};

}  // namespace

Result<std::unique_ptr<RpcServer>> RpcServer::Start(EventLoop& loop, Clock& clock, PeerResources& resources,
                                                    RpcEngine& engine, RpcServerOptions options, Methods methods) {
  auto server = std::make_unique<SocketServer>(loop, clock, engine, options.limits, std::move(methods));
  RETURN_IF_ERROR(server->Begin(resources, std::move(options)));
  return server;
}

}  // namespace lanyard
