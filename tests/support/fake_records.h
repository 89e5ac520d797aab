// An audit log and a state store in memory that answer on the loop, and fail when a test says so.
//
// Thread: the test's.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/audit/audit_log.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

class FakeAuditLog : public AuditLog {
 public:
  explicit FakeAuditLog(EventLoop& loop) : loop_(loop) {}

  void Append(AuditRecord record, Done done, AuditSpace space) override {
    const Status answer = space == AuditSpace::kReserve ? broken_in_reserve : broken;
    if (answer.ok()) {
      records.push_back(std::move(record));
    } else if (!done) {
      ++lost;
    }
    if (!done) return;
    if (silent) return unanswered_.push_back(std::move(done));
    loop_.Post([answer, done = std::move(done)]() mutable { std::move(done)(answer); });
  }
  using AuditLog::Append;
  void Seal(Done done) override {
    loop_.Post([done = std::move(done)]() mutable { std::move(done)(OkStatus()); });
  }
  void OnHead(HeadListener) override {}
  std::unique_ptr<Tail> Follow(size_t lines, LineListener line, Done caught_up) override {
    struct Ended : Tail {};
    loop_.Post([this, lines, line = std::move(line), caught_up = std::move(caught_up)]() mutable {
      for (size_t i = records.size() - std::min(lines, records.size()); i < records.size(); ++i)
        line(AuditKindName(records[i].kind));
      std::move(caught_up)(OkStatus());
    });
    return std::make_unique<Ended>();
  }
  void SetOptions(AuditOptions) override {}
  AuditStats stats() const override { return shown; }
  const Histogram& write_seconds() const override { return histogram_; }
  HealthReport health() const override { return report; }
  const std::vector<IssuedSerial>& issued_after_stored_head() const override { return none_; }

  std::vector<AuditRecord> Of(AuditKind kind) const {
    std::vector<AuditRecord> found;
    for (const AuditRecord& record : records) {
      if (record.kind == kind) found.push_back(record);
    }
    return found;
  }

  // Answers all that came while it was silent.
  void AnswerAll() {
    for (Done& done : std::exchange(unanswered_, {})) {
      loop_.Post([done = std::move(done)]() mutable { std::move(done)(OkStatus()); });
    }
  }

  bool silent = false;       // nothing is answered, until AnswerAll()
  Status broken;             // what records are answered with
  Status broken_in_reserve;  // the same for those that may use the reserve
  std::vector<AuditRecord> records;
  int lost = 0;
  AuditStats shown;
  HealthReport report;

 private:
  EventLoop& loop_;
  std::vector<Done> unanswered_;
  std::vector<IssuedSerial> none_;
  Histogram histogram_{LatencyBuckets()};
};

class FakeStateStore : public StateStore {
 public:
  explicit FakeStateStore(EventLoop& loop) : loop_(loop) {}

  void RecordIssued(IssuedSerial issued, Done done) override {
    if (broken.ok()) serials.push_back(std::move(issued));
    AnswerWith(broken, std::move(done));
  }
  void RecordRevoked(RevokedSerial serial, Done done) override {
    if (broken_in_reserve.ok()) revoked.push_back(std::move(serial));
    AnswerWith(broken_in_reserve, std::move(done));
  }
  void UseCrlNumber(std::string authority, uint64_t number, Done done) override {
    if (broken_in_reserve.ok()) crl_numbers[authority].push_back(number);
    AnswerWith(broken_in_reserve, std::move(done));
  }
  // The disk answers what it has not answered while it was silent.
  void Answer() {
    silent = false;
    for (auto& answer : std::exchange(unanswered_, {})) loop_.Post(std::move(answer));
  }
  void SaveAuditHead(AuditHead) override {}
  void Flush(Done done) override {
    loop_.Post([done = std::move(done)]() mutable { std::move(done)(OkStatus()); });
  }
  StateStats stats() const override { return shown; }
  const Histogram& commit_seconds() const override { return histogram_; }
  HealthReport health() const override { return report; }

  Status broken;
  Status broken_in_reserve;  // what writes that may use the reserve are answered with
  bool silent = false;       // nothing is answered
  std::vector<IssuedSerial> serials;
  std::vector<RevokedSerial> revoked;
  std::map<std::string, std::vector<uint64_t>> crl_numbers;
  StateStats shown;
  HealthReport report;

 private:
  void AnswerWith(Status status, Done done) {
    auto answer = [status = std::move(status), done = std::move(done)]() mutable { std::move(done)(status); };
    if (silent) return unanswered_.push_back(std::move(answer));
    loop_.Post(std::move(answer));
  }

  EventLoop& loop_;
  std::vector<EventLoop::Task> unanswered_;
  Histogram histogram_{LatencyBuckets()};
};

}  // namespace lanyard
