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

void ServerCall::Enter() {
  if (over_) return;
  if (const Status let_in = LetIn(); !let_in.ok()) Finish(let_in);
}

bool ServerCall::JoinsLine() {
  if (!early_read_ || closed() || std::exchange(in_line_, true)) return false;
  ++under_way_;
  return true;
}

Status ServerCall::LetIn() {
  if (connection_ == nullptr) return Error(StatusCode::kPermissionDenied, "the connection of this call is not known");
  Result<CallPermit> permit = owner_.Admit(*this);
  if (permit.ok()) permit_ = *std::move(permit);
  RETURN_IF_ERROR(connection_->admission);  // before "too many", after which clients would come back
  return permit.status();
}

bool ServerCall::Begin() {
  --under_way_;
  has_turn_ = true;
  if (closed()) {
    EndTurn();
    return under_way_ == 0;
  }
  begun_ = true;
  if (Status made = MakeHandler(); !made.ok()) {
    Finish(made);
  } else if (finished_) {
    DropHandler();
  } else {
    TakeRead(*early_read_);
  }
  return under_way_ == 0;
}

Status ServerCall::MakeHandler() {
  // One poll(2): what a process that has exited left in its socket is nobody's request any more.
  if (!connection_->peer.process->StillRunning())
    return Error(StatusCode::kPermissionDenied, "the process that made this connection has exited");
  ASSIGN_OR_RETURN(handler_, owner_.MakeHandler(*this));
  if (handler_ == nullptr && !finished_) return Error(StatusCode::kInternal, "no handler for method {}", method());
  return OkStatus();
}

void ServerCall::TakeRead(bool ok) {
  if (ok) {
    handler_->OnMessage(std::exchange(incoming_, grpc::ByteBuffer()));
    ReadNext();
  } else {
    half_closed_ = true;
    handler_->OnHalfClose();
  }
}

bool ServerCall::OnEvent(CallEvent event, bool ok) {
  --under_way_;
  switch (event) {
    case CallEvent::kMatched:
      break;  // the engine has it Enter
    case CallEvent::kDone:
      over_ = true;
      EndTurn();
      sent_ = nullptr;
      DropHandler();
      break;
    case CallEvent::kRead:
      reading_ = false;
      if (closed()) break;
      if (begun_) {
        TakeRead(ok);
      } else {
        early_read_ = ok;
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
  OnAnswered();
  sending_ = true;
  sent_ = std::move(sent);
  ++under_way_;
  order_.BeforeStart();
  stream_.Write(message, &write_tag_);
}

void ServerCall::Reply(grpc::ByteBuffer message) {
  if (closed()) return;
  if (sending_) return Finish(Error(StatusCode::kInternal, "the agent sent a message before the last one had left"));
  OnAnswered();
  finished_ = true;
  ++under_way_;
  order_.BeforeStart();
  stream_.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK, &finish_tag_);
  DropHandler();
}

void ServerCall::Finish(const Status& status) {
  if (closed()) return;
  OnAnswered();
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

void ServerCall::OnAnswered() {
  if (permit_) permit_->unanswered.reset();
  EndTurn();
}

void ServerCall::EndTurn() {
  if (std::exchange(has_turn_, false)) owner_.OnTurnOver(*connection_->account);
}

void ServerCall::Abandon() {
  over_ = true;
  EndTurn();
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
