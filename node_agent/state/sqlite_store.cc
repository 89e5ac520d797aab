#include "node_agent/state/sqlite_store.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

#include "node_agent/base/duration.h"
#include "node_agent/base/log.h"
#include "node_agent/base/thread_name.h"
#include "node_agent/base/utc.h"
#include "node_agent/state/state_writer.h"

namespace lanyard {
namespace {

using Steady = std::chrono::steady_clock;

constexpr size_t kMaxWaiting = 65536;  // a disk that hangs must not take all memory
constexpr std::chrono::minutes kPruneEvery{1};
constexpr std::chrono::seconds kStuckAfter{10};  // far above what a disk takes that only has much to do

struct CrlNumber {
  std::string authority;
  uint64_t number;
};
struct FlushMark {};
using Operation = std::variant<IssuedSerial, RevokedSerial, CrlNumber, FlushMark>;

// What the loop gives to the thread. Guarded by the store's mutex.
struct Orders {
  std::vector<Operation> operations;
  std::optional<AuditHead> head;
  Steady::time_point head_due;
  WallTime now;  // of the newest order: the thread itself never asks the clock, which is the loop's
  MonoTime mono;
  bool stop = false;
};

// What the thread gives to the loop after a batch.
struct Report {
  BatchOutcome outcome;
  std::vector<Status> answers;  // one for each operation, in order
  size_t written = 0;
  size_t urgent = 0;  // of those
  bool probe = false;
  uint64_t bytes = 0;
};

class Store final : public SqliteStore {
 public:
  Store(StateWriter::Opened opened, SqliteOptions options, EventLoop& loop, Clock& clock)
      : options_(options),
        loop_(loop),
        clock_(clock),
        head_at_start_(std::move(opened.head)),
        revocations_at_start_(std::move(opened.revocations)),
        made_anew_(opened.made_anew),
        reserve_(std::move(opened.reserve)),
        writer_(std::move(opened.writer)) {
    stats_.bytes = writer_->BytesOnDisk();
    thread_ = std::thread([this] {
      NameThisThread("state");
      Run();
    });
  }

  ~Store() override {
    {
      std::lock_guard lock(mutex_);
      orders_.stop = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  std::optional<AuditHead> audit_head_at_start() const override { return head_at_start_; }
  const RevocationState& revocations_at_start() const override { return revocations_at_start_; }
  bool made_anew() const override { return made_anew_; }

  void RecordIssued(IssuedSerial issued, Done done) override { Order(std::move(issued), std::move(done)); }
  void RecordRevoked(RevokedSerial revoked, Done done) override { Order(std::move(revoked), std::move(done)); }
  void UseCrlNumber(std::string authority, uint64_t number, Done done) override {
    Order(CrlNumber{std::move(authority), number}, std::move(done));
  }
  void Flush(Done done) override { Order(FlushMark{}, std::move(done)); }

  void SaveAuditHead(AuditHead head) override {
    {
      std::lock_guard lock(mutex_);
      if (!orders_.head) orders_.head_due = Steady::now() + options_.head_delay;
      orders_.head = std::move(head);
      orders_.now = clock_.WallNow();
      orders_.mono = clock_.MonoNow();
    }
    wake_.notify_one();
  }

  StateStats stats() const override {
    StateStats stats = stats_;
    stats.waiting = waiting_.size();
    return stats;
  }
  const Histogram& commit_seconds() const override { return writer_->commit_seconds(); }
  HealthReport health() const override;

 private:
  // On the loop.
  void Order(Operation operation, Done done);
  void Take(Report report);
  void Note(const Report& report);

  // On the thread.
  void Run();
  void WaitForOrders(std::unique_lock<std::mutex>& lock);
  Report Carry(std::vector<Operation> operations, const std::optional<AuditHead>& head);
  void PruneNowAndThen(WallTime now, MonoTime mono);

  const SqliteOptions options_;
  EventLoop& loop_;
  Clock& clock_;
  const std::optional<AuditHead> head_at_start_;
  const RevocationState revocations_at_start_;
  const bool made_anew_;

  // The loop's.
  std::deque<Done> waiting_;  // in the order of their operations, FIFO through the thread and back
  MonoTime waiting_since_;    // for the front of it; also when the last batch came back
  StateStats stats_;
  Status failure_;  // of the last batch
  WallTime failing_since_;
  Status reserve_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);

  // The thread's.
  std::unique_ptr<StateWriter> writer_;
  std::optional<Steady::time_point> probe_at_;  // set while writing fails
  std::optional<MonoTime> prune_at_;

  std::mutex mutex_;  // guards orders_
  std::condition_variable wake_;
  Orders orders_;

  std::thread thread_;
};

void Store::Order(Operation operation, Done done) {
  if (waiting_.size() >= kMaxWaiting) {
    loop_.Post([done = std::move(done), alive = std::weak_ptr(alive_)]() mutable {
      if (alive.expired()) return;
      std::move(done)(Error(StatusCode::kResourceExhausted,
                            "state: {} writes wait for the disk already; see whether it answers", kMaxWaiting));
    });
    return;
  }
  if (waiting_.empty()) waiting_since_ = clock_.MonoNow();
  waiting_.push_back(std::move(done));
  {
    std::lock_guard lock(mutex_);
    orders_.operations.push_back(std::move(operation));
    orders_.now = clock_.WallNow();
    orders_.mono = clock_.MonoNow();
  }
  wake_.notify_one();
}

void Store::WaitForOrders(std::unique_lock<std::mutex>& lock) {
  while (orders_.operations.empty() && !orders_.stop) {
    std::optional<Steady::time_point> until = probe_at_;
    if (orders_.head) until = until ? std::min(*until, orders_.head_due) : orders_.head_due;
    if (!until) {
      wake_.wait(lock);
    } else if (wake_.wait_until(lock, *until) == std::cv_status::timeout) {
      return;
    }
  }
}

void Store::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    WaitForOrders(lock);
    const bool last = orders_.stop;
    if (last && orders_.operations.empty() && !orders_.head) return;
    std::vector<Operation> operations = std::exchange(orders_.operations, {});
    const std::optional<AuditHead> head = std::exchange(orders_.head, std::nullopt);
    const WallTime now = orders_.now;
    const MonoTime mono = orders_.mono;
    lock.unlock();

    Report report = Carry(std::move(operations), head);
    const bool head_failed = head && !report.outcome.urgent.ok();
    const bool failed = !report.outcome.issued.ok();
    const bool prune = report.written > 0 && !last;
    if (last && failed)
      LANYARD_LOG_ERROR("state: the last writes before the end are lost: {}", Message(report.outcome.issued));
    loop_.Post([this, alive = std::weak_ptr(alive_), report = std::move(report)]() mutable {
      if (!alive.expired()) Take(std::move(report));
    });
    if (failed) {
      probe_at_ = Steady::now() + options_.probe_after;
    } else {
      probe_at_.reset();
      writer_->MergeJournal();
      if (prune) PruneNowAndThen(now, mono);
    }

    lock.lock();
    if (head_failed && !orders_.head && !last) {
      orders_.head = head;
      orders_.head_due = Steady::now() + std::max(options_.head_delay, options_.probe_after);
    }
  }
}

Report Store::Carry(std::vector<Operation> operations, const std::optional<AuditHead>& head) {
  StateBatch batch;
  batch.urgent.head = head;
  for (Operation& operation : operations) {
    if (auto* issued = std::get_if<IssuedSerial>(&operation)) batch.issued.push_back(std::move(*issued));
    if (auto* revoked = std::get_if<RevokedSerial>(&operation)) batch.urgent.revoked.push_back(std::move(*revoked));
    if (const auto* number = std::get_if<CrlNumber>(&operation)) {
      uint64_t& highest = batch.urgent.crl_numbers[number->authority];
      highest = std::max(highest, number->number);
    }
  }
  Report report;
  report.probe = batch.count() == 0;
  report.written = batch.count();
  report.urgent = batch.urgent.count();
  // A Flush() that finds nothing to write has nothing to find out, unless writing failed before.
  if (batch.count() > 0 || probe_at_) report.outcome = writer_->Write(batch);
  const BatchOutcome& outcome = report.outcome;
  for (const Operation& operation : operations) {
    const bool issued = std::holds_alternative<IssuedSerial>(operation);
    const bool flush = std::holds_alternative<FlushMark>(operation);  // asks for all of them
    report.answers.push_back(issued || (flush && !outcome.issued.ok()) ? outcome.issued : outcome.urgent);
  }
  report.bytes = writer_->BytesOnDisk();
  return report;
}

void Store::PruneNowAndThen(WallTime now, MonoTime mono) {
  if (prune_at_ && mono < *prune_at_) return;
  // Bounded work per batch; when there was more than that to remove, the next batch goes on.
  const auto more = writer_->Prune(now - kKeepSerials);
  prune_at_ = more == StateWriter::More::kYes ? mono : mono + kPruneEvery;
}

void Store::Take(Report report) {
  Note(report);
  waiting_since_ = clock_.MonoNow();
  std::vector<Done> answered;
  answered.reserve(report.answers.size());
  for (size_t i = 0; i < report.answers.size(); ++i) {
    answered.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  const std::weak_ptr alive = alive_;
  for (size_t i = 0; i < answered.size(); ++i) {
    std::move(answered[i])(report.answers[i]);
    if (alive.expired()) return;  // the callback destroyed us
  }
}

void Store::Note(const Report& report) {
  const BatchOutcome& outcome = report.outcome;
  const bool nothing_tried = report.probe && failure_.ok() && outcome.issued.ok();
  stats_.bytes = report.bytes;
  if (nothing_tried) return;
  reserve_ = outcome.reserve;
  const WallTime now = clock_.WallNow();
  // With what is urgent in the reserve one part is durable and the other is not: both are counted.
  if (outcome.issued.ok() || (outcome.urgent.ok() && report.urgent > 0)) {
    ++stats_.commits;
    stats_.last_commit = now;
    stats_.writes += outcome.issued.ok() ? report.written : report.urgent;
  }
  if (!outcome.issued.ok()) {
    ++stats_.failed_commits;
    if (failure_.ok()) {
      failing_since_ = now;
      LANYARD_LOG_ERROR("state: {}; no new identity is issued", Message(outcome.issued));
    }
  } else if (!failure_.ok()) {
    LANYARD_LOG_INFO("state: writing works again");
  }
  failure_ = outcome.issued;
}

HealthReport Store::health() const {
  const auto stuck = clock_.MonoNow() - waiting_since_;
  if (!waiting_.empty() && stuck > kStuckAfter) {
    return {HealthLevel::kBroken,
            fmt::format("state: {} writes wait and the disk has not answered for {}; no new identity is issued",
                        waiting_.size(), FormatDuration(std::chrono::floor<std::chrono::seconds>(stuck)))};
  }
  if (!failure_.ok()) {
    return {HealthLevel::kBroken,
            fmt::format("state: {}; no new identity is issued since {}", Message(failure_), Utc(failing_since_))};
  }
  if (!reserve_.ok()) {
    return {HealthLevel::kDegraded,
            fmt::format("state: no space in reserve for when the disk is full: {}", Message(reserve_))};
  }
  return {HealthLevel::kGood, "state: good"};
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(const DataDirLock& data_dir, SqliteOptions options,
                                                       EventLoop& loop, Clock& clock) {
  const std::string path = data_dir.directory() + "/state.db";
  SpaceReserve reserve(data_dir.directory() + "/state.reserve", options.reserve_bytes);
  ASSIGN_OR_RETURN(StateWriter::Opened opened, StateWriter::Open(path, std::move(reserve)));
  return std::unique_ptr<SqliteStore>(std::make_unique<Store>(std::move(opened), options, loop, clock));
}

}  // namespace lanyard
