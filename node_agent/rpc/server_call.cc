#include "node_agent/rpc/server_call.h"

#include <charconv>

namespace lanyard {
namespace {

constexpr size_t kLongestMessage = 2048;  // of a status; clients refuse trailers above 8 kB

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string text(Message(status).substr(0, kLongestMessage));
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), std::move(text));  // absl's codes are gRPC's
}

// "fd:17" → 17. Anything else is no connection of ours.
std::optional<int> FdOfPeer(std::string_view peer) {
  if (!peer.starts_with("fd:")) return std::nullopt;
  peer.remove_prefix(3);
  int fd = -1;
  const auto [end, error] = std::from_chars(peer.data(), peer.data() + peer.size(), fd);
  if (error != std::errc() || end != peer.data() + peer.size() || fd < 0) return std::nullopt;
  return fd;
}

}  // namespace

void ServerCall::OnMatchedByPoller() {
  if (const std::optional<int> fd = FdOfPeer(context_.peer())) {
    FoundConnection found = owner_.FindConnection(*fd);
    connection_ = std::move(found.connection);
    door_ = found.door;
  }
  if (connection_ != nullptr && connection_->admission.ok()) connection_->call_seen = true;
  StartRead();
}

bool ServerCall::OnEvent(CallEvent event, bool ok) {
  if (event != CallEvent::kMatched) --under_way_;
  switch (event) {
    case CallEvent::kMatched:
      Begin();
      break;
    case CallEvent::kDone:
      over_ = true;
      sent_ = nullptr;
      DropHandler();
      break;
    case CallEvent::kRead:
      reading_ = false;
      if (closed()) break;
      if (ok) {
        handler_->OnMessage(std::exchange(incoming_, grpc::ByteBuffer()));
        ReadNext();
      } else {
        half_closed_ = true;
        handler_->OnHalfClose();
      }
      break;
    case CallEvent::kWrite: {
      sending_ = false;
      auto sent = std::exchange(sent_, nullptr);
      if (waiting_finish_) StartFinish();
      if (closed() || !ok) break;
      if (sent) sent();
      ReadNext();
      break;
    }
    case CallEvent::kFinish:
      break;
  }
  return under_way_ == 0;
}

void ServerCall::Begin() {
  if (over_) return;
  // One poll(2): what a process that has exited left in its socket is nobody's request any more.
  Status refused;
  if (connection_ == nullptr) {
    refused = Error(StatusCode::kPermissionDenied, "the connection of this call is not known");
  } else if (!connection_->admission.ok()) {
    refused = connection_->admission;
  } else if (!connection_->peer.process->StillRunning()) {
    refused = Error(StatusCode::kPermissionDenied, "the process that made this connection has exited");
  }
  if (!refused.ok()) return Finish(refused);
  Result<std::unique_ptr<CallHandler>> handler = owner_.MakeHandler(*this);
  if (!handler.ok()) return Finish(handler.status());
  handler_ = *std::move(handler);
  if (finished_) return DropHandler();
  if (handler_ == nullptr) return Finish(Error(StatusCode::kInternal, "no handler for method {}", method()));
  ReadNext();
}

void ServerCall::ReadNext() {
  if (!closed() && !reading_ && !sending_ && !half_closed_) StartRead();
}

void ServerCall::StartRead() {
  reading_ = true;
  ++under_way_;
  order_.BeforeStart();
  stream_.Read(&incoming_, &read_tag_);
}

void ServerCall::Send(grpc::ByteBuffer message, absl::AnyInvocable<void()> sent) {
  if (closed()) return;
  if (sending_) return Finish(Error(StatusCode::kInternal, "the agent sent a message before the last one had left"));
  sending_ = true;
  sent_ = std::move(sent);
  ++under_way_;
  order_.BeforeStart();
  stream_.Write(message, &write_tag_);
}

void ServerCall::Reply(grpc::ByteBuffer message) {
  if (closed()) return;
  if (sending_) return Finish(Error(StatusCode::kInternal, "the agent sent a message before the last one had left"));
  finished_ = true;
  ++under_way_;
  order_.BeforeStart();
  stream_.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK, &finish_tag_);
  DropHandler();
}

void ServerCall::Finish(const Status& status) {
  if (closed()) return;
  finished_ = true;
  waiting_finish_ = ToGrpc(status);
  if (!sending_) StartFinish();
  DropHandler();
}

void ServerCall::StartFinish() {
  const grpc::Status status = *std::exchange(waiting_finish_, std::nullopt);
  if (over_) return;
  ++under_way_;
  order_.BeforeStart();
  stream_.Finish(status, &finish_tag_);
}

void ServerCall::Abandon() {
  over_ = true;
  sent_ = nullptr;
  context_.TryCancel();
  DropHandler();
}

void ServerCall::DropHandler() {
  if (handler_ != nullptr) owner_.Bury(std::move(handler_));
}

std::vector<std::string_view> ServerCall::Metadata(std::string_view key) const {
  std::vector<std::string_view> values;
  const auto& all = context_.client_metadata();
  const auto [first, last] = all.equal_range(grpc::string_ref(key.data(), key.size()));
  for (auto entry = first; entry != last; ++entry) values.emplace_back(entry->second.data(), entry->second.size());
  return values;
}

}  // namespace lanyard
