#include "node_agent/admin/audit_tail.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "node_agent/admin/proto/admin.pb.h"

namespace lanyard {
namespace {

constexpr uint32_t kMostLines = 10'000;
constexpr size_t kMostWaitingBytes = 48 << 20;  // kMostLines of usual length twice over
constexpr size_t kMessageBytes = 256 << 10;     // gRPC clients take 4 MiB

class AuditTail : public OneRequestHandler<admin::v1::TailAuditRequest> {
 public:
  AuditTail(Call& call, AuditLog& audit) : OneRequestHandler(call), audit_(audit) {}

 private:
  void OnRequest(admin::v1::TailAuditRequest request) override {
    if (request.lines() > kMostLines) {
      return call().Finish(Error(StatusCode::kInvalidArgument,
                                 "{} lines are too many, at most {} are shown; read the file for more", request.lines(),
                                 kMostLines));
    }
    follow_ = request.follow();
    tail_ = audit_.Follow(
        request.lines(), [this](std::string_view line) { OnLine(line); },
        [this](const Status& status) { OnCaughtUp(status); });
  }

  void OnLine(std::string_view line) {
    if (over_ || (caught_up_ && !follow_)) return;
    waiting_bytes_ += line.size();
    if (waiting_bytes_ > kMostWaitingBytes) {
      over_ = true;
      return call().Finish(
          Error(StatusCode::kResourceExhausted, "the reader is too slow for the audit log; read the file"));
    }
    waiting_.emplace_back(line);
    SendSome();
  }

  void OnCaughtUp(const Status& status) {
    caught_up_ = true;
    if (!status.ok() && !std::exchange(over_, true)) return call().Finish(status);
    SendSome();
  }

  void SendSome() {
    if (over_ || call().sending()) return;
    if (waiting_.empty()) {
      if (caught_up_ && !follow_ && !std::exchange(over_, true)) call().Finish(OkStatus());
      return;
    }
    admin::v1::TailAuditResponse response;
    for (size_t bytes = 0; !waiting_.empty() && bytes < kMessageBytes; waiting_.pop_front()) {
      bytes += waiting_.front().size();
      waiting_bytes_ -= waiting_.front().size();
      response.add_lines(std::move(waiting_.front()));
    }
    call().Send(SerializeShared(response), [this] { SendSome(); });
  }

  AuditLog& audit_;
  std::unique_ptr<AuditLog::Tail> tail_;
  std::deque<std::string> waiting_;
  size_t waiting_bytes_ = 0;
  bool follow_ = false;
  bool caught_up_ = false;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<CallHandler> MakeAuditTail(Call& call, AuditLog& audit) {
  return std::make_unique<AuditTail>(call, audit);
}

}  // namespace lanyard
