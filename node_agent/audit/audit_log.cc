#include "node_agent/audit/audit_log.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "node_agent/audit/audit_line.h"
#include "node_agent/audit/audit_tail.h"
#include "node_agent/audit/audit_writer.h"
#include "node_agent/base/duration.h"
#include "node_agent/base/thread_name.h"

namespace lanyard {
namespace {

constexpr size_t kMaxWaiting = 16'384;  // records that nobody has answered yet, of 16 KiB at most; more are refused
constexpr size_t kMaxBatch = 2'048;
constexpr size_t kMaxOldLines = 10'000;
constexpr size_t kGathered = 64;  // ends of streams, at most, until they are written all the same
constexpr std::chrono::milliseconds kGatherFor{50};
constexpr std::chrono::seconds kSyncInterval{1};
constexpr std::chrono::seconds kStuckAfter{10};    // far above what a disk takes that only has much to do
constexpr std::chrono::seconds kRetryInterval{2};  // while nothing can be written: nobody else may come to try it

// What the writer thread tells the loop after a batch.
struct Report {
  std::vector<std::pair<AuditLog::Done, Status>> answers;
  size_t answered = 0;  // those that nobody waited for included
  AuditHead head;       // on the disk
  AuditStats stats;
  HealthReport health;
  std::vector<AuditExtent> extents;  // what there is to follow
};

class FileAuditLog : public AuditLog {
 public:
  FileAuditLog(AuditOptions options, std::unique_ptr<AuditWriter> writer, EventLoop& loop, Clock& clock)
      : loop_(loop), clock_(clock), options_(std::move(options)), writer_(std::move(writer)) {
    issued_ = writer_->TakeIssued();
    latest_ = Completed({});
    if (!latest_.extents.empty()) current_ = latest_.extents.back();
    ArmCheckpoint();
    thread_ = std::thread([this] {
      NameThisThread("audit");
      WriteUntilStopped();
    });
  }

  ~FileAuditLog() override {
    alive_.reset();
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  void Append(AuditRecord record, Done done, AuditSpace space) override {
    if (waiting_ >= kMaxWaiting) return RefuseAtTheDoor(std::move(done));
    CutAuditRecord(record);
    Enqueue({.entry = {.record = std::move(record),
                       .time = clock_.WallNow(),
                       .space = space,
                       .done = std::move(done),
                       .result = OkStatus()},
             .kind = JobKind::kRecord});
    if (checkpoint_alarm_ == nullptr) ArmCheckpoint();
  }

  void Seal(Done done) override { EnqueueCheckpoint(std::move(done)); }

  void OnHead(HeadListener listener) override {
    on_head_ = std::move(listener);
    told_head_ = {};
    loop_.Post([this, alive = std::weak_ptr(alive_)] {
      if (alive.lock() != nullptr) TellHead();
    });
  }

  const std::vector<IssuedSerial>& issued_after_stored_head() const override { return issued_; }

  std::unique_ptr<Tail> Follow(size_t lines, LineListener line, Done caught_up) override {
    auto tail = AuditTail::Start(loop_, current_, std::min(lines, kMaxOldLines), std::move(line), std::move(caught_up));
    tails_.push_back(tail);
    struct Handle : Tail {
      explicit Handle(std::shared_ptr<AuditTail> followed) : tail(std::move(followed)) {}
      ~Handle() override { tail->End(); }
      std::shared_ptr<AuditTail> tail;
    };
    return std::make_unique<Handle>(std::move(tail));
  }

  void SetOptions(AuditOptions options) override {
    options_ = options;
    checkpoint_alarm_.reset();
    ArmCheckpoint();
    {
      std::lock_guard lock(mutex_);
      new_options_ = std::move(options);
    }
    wake_.notify_one();
  }

  AuditStats stats() const override {
    AuditStats stats = latest_.stats;
    stats.waiting = waiting_;
    return stats;
  }
  const Histogram& write_seconds() const override { return write_seconds_; }
  HealthReport health() const override {
    const auto stuck = clock_.MonoNow() - waiting_since_;
    if (waiting_ > 0 && stuck > kStuckAfter) {
      return {HealthLevel::kBroken,
              fmt::format("{} records wait and the disk of {} has not answered for {}; see whether it does", waiting_,
                          options_.path, FormatDuration(std::chrono::floor<std::chrono::seconds>(stuck)))};
    }
    HealthReport health = latest_.health;
    AddToReport(health, HealthLevel::kDegraded, writer_->copies().problem());
    return health;
  }

 private:
  enum class JobKind { kRecord, kCheckpoint, kRetry };
  struct Job {
    AuditEntry entry;  // of what is no record only time and done
    JobKind kind = JobKind::kCheckpoint;
  };

  void EnqueueCheckpoint(Done done) {
    Enqueue({.entry = {.record = {}, .time = clock_.WallNow(), .done = std::move(done), .result = OkStatus()}});
  }

  void Enqueue(Job job) {
    if (waiting_++ == 0) waiting_since_ = clock_.MonoNow();
    {
      std::lock_guard lock(mutex_);
      const bool may_wait = job.kind == JobKind::kRecord && job.entry.record.kind == AuditKind::kRelease &&
                            !job.entry.done && jobs_.size() < kGathered;
      jobs_.push_back(std::move(job));
      if (may_wait && gathering_) return;
      urgent_ = true;
    }
    wake_.notify_one();
  }

  // The disk has been slower than everybody who wants something recorded, for long.
  void RefuseAtTheDoor(Done done) {
    if (done == nullptr) {
      std::lock_guard lock(mutex_);
      if (refused_++ == 0) refused_since_ = clock_.WallNow();
      return;
    }
    loop_.Post([done = std::move(done), alive = std::weak_ptr(alive_), path = options_.path]() mutable {
      if (alive.lock() == nullptr) return;
      std::move(done)(Error(StatusCode::kResourceExhausted,
                            "write audit log {}: {} records wait already; its disk does not keep up", path,
                            kMaxWaiting));
    });
  }

  // One alarm a time: what is written while it runs is signed when it fires.
  void ArmCheckpoint() {
    checkpoint_alarm_ = clock_.CallAfter(options_.checkpoint_interval, [this] {
      EnqueueCheckpoint(nullptr);
      checkpoint_alarm_.reset();
    });
  }

  // Else an agent that is taken out of service for it would never be put back: who asks for nothing writes nothing.
  void RetryWhileBroken() {
    if (latest_.health.level != HealthLevel::kBroken || retry_alarm_ != nullptr) return;
    retry_alarm_ = clock_.CallAfter(kRetryInterval, [this] {
      retry_alarm_.reset();
      Enqueue({.entry = {.record = {}, .time = clock_.WallNow(), .done = nullptr, .result = OkStatus()},
               .kind = JobKind::kRetry});
    });
  }

  void Take(Report report) {
    waiting_ -= std::min(waiting_, report.answered);
    if (report.answered > 0) waiting_since_ = clock_.MonoNow();
    auto answers = std::move(report.answers);
    const std::vector<AuditExtent> extents = std::move(report.extents);
    if (!extents.empty()) current_ = extents.back();
    latest_ = std::move(report);
    RetryWhileBroken();
    // A callback may destroy this log. The head comes first: who flushes the state when Seal() answers, flushes it too.
    const std::weak_ptr<char> alive = alive_;
    TellHead();
    if (alive.expired()) return;
    for (auto& [done, status] : answers) {
      std::move(done)(std::move(status));
      if (alive.expired()) return;
    }
    std::erase_if(tails_, [](const std::weak_ptr<AuditTail>& tail) { return tail.expired(); });
    const std::vector<std::weak_ptr<AuditTail>> tails = tails_;
    for (const std::weak_ptr<AuditTail>& weak : tails) {
      const auto tail = weak.lock();
      for (const AuditExtent& extent : extents) {
        if (tail != nullptr) tail->Extend(extent);
      }
      if (alive.expired()) return;
    }
  }

  void TellHead() {
    if (!on_head_ || latest_.head.seq == 0 || latest_.head == told_head_) return;
    told_head_ = latest_.head;
    on_head_(told_head_);
  }

  // From here on: writer thread.

  void WriteUntilStopped() {
    auto next_sync = std::chrono::steady_clock::now();
    bool stopping = false;
    while (!stopping) {
      std::vector<Job> batch;
      {
        std::unique_lock lock(mutex_);
        const auto has_work = [this] { return stop_ || urgent_ || new_options_; };
        // The end of a stream, for whose record nobody waits, is written with what comes next, which in a busy agent is
        // soon: half as many wakes and writes.
        gathering_ = true;
        wake_.wait_for(lock, kGatherFor, has_work);
        gathering_ = false;
        if (!has_work() && jobs_.empty()) {
          if (!writer_->unsynced()) {
            wake_.wait(lock, has_work);
          } else {
            wake_.wait_until(lock, next_sync, has_work);
          }
        }
        batch = TakeBatch();
        urgent_ = !jobs_.empty();
        stopping = stop_ && jobs_.empty();
        if (new_options_) writer_->SetOptions(*std::exchange(new_options_, std::nullopt));
        if (refused_ > 0) writer_->CountLost(std::exchange(refused_, 0), refused_since_);
      }
      Report report;
      if (!batch.empty()) Timed([&] { WriteBatch(batch, report); });
      const auto now = std::chrono::steady_clock::now();
      const bool sync = writer_->unsynced() && (stopping || now >= next_sync);
      // Before the sync: whoever is answered now does not wait for it.
      if (!sync || !batch.empty()) Send(std::move(report));
      if (sync) {
        Timed([&] { IGNORE_ERROR(writer_->Sync(), "health() tells it"); });
        next_sync = now + kSyncInterval;
        Send({});
      }
    }
  }

  template <typename Work>
  void Timed(Work work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    ObserveTime(write_seconds_, std::chrono::steady_clock::now() - begin);
  }

  // What waits, up to and including the first that is no record.
  std::vector<Job> TakeBatch() {
    std::vector<Job> batch;
    while (!jobs_.empty() && batch.size() < kMaxBatch) {
      batch.push_back(std::move(jobs_.front()));
      jobs_.pop_front();
      if (batch.back().kind != JobKind::kRecord) break;
    }
    return batch;
  }

  void WriteBatch(std::vector<Job>& batch, Report& report) {
    const bool sign = batch.back().kind == JobKind::kCheckpoint;
    std::vector<AuditEntry> entries;
    for (Job& job : batch) {
      if (job.kind == JobKind::kRecord) entries.push_back(std::move(job.entry));
    }
    Status status =
        writer_->Write(entries, batch.back().entry.time, sign ? CheckpointWish::kNow : CheckpointWish::kWhenDue);
    report.answered = batch.size();
    for (AuditEntry& entry : entries) {
      if (entry.done) report.answers.emplace_back(std::move(entry.done), std::move(entry.result));
    }
    if (!sign || !batch.back().entry.done) return;
    if (status.ok()) status = writer_->Seal();
    report.answers.emplace_back(std::move(batch.back().entry.done), std::move(status));
  }

  // `report` with how things are now.
  Report Completed(Report report) {
    report.head = writer_->durable_head();
    report.stats = writer_->stats();
    report.health = writer_->health();
    report.extents = writer_->TakeExtents();
    return report;
  }

  void Send(Report report) {
    loop_.Post([this, alive = weak_alive_, whole = Completed(std::move(report))]() mutable {
      if (alive.lock() != nullptr) Take(std::move(whole));
    });
  }

  EventLoop& loop_;
  Clock& clock_;
  AuditOptions options_;
  Histogram write_seconds_{LatencyBuckets()};
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  const std::weak_ptr<char> weak_alive_ = alive_;  // for the writer thread

  // Loop.
  std::vector<IssuedSerial> issued_;
  Report latest_;  // without answers
  AuditExtent current_;
  size_t waiting_ = 0;
  MonoTime waiting_since_;  // or the last answer since
  AuditHead told_head_;
  HeadListener on_head_;
  std::vector<std::weak_ptr<AuditTail>> tails_;
  std::unique_ptr<Clock::Alarm> checkpoint_alarm_, retry_alarm_;

  // Between both; never held while something is written or called.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::optional<AuditOptions> new_options_;
  uint64_t refused_ = 0;
  WallTime refused_since_;
  bool stop_ = false;
  bool urgent_ = false;     // there is what cannot wait for the next
  bool gathering_ = false;  // the writer will look by itself, soon

  // Writer thread, once it runs.
  std::unique_ptr<AuditWriter> writer_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::Open(AuditOptions options, EventLoop& loop, Clock& clock) {
  auto writer = AuditWriter::Open(options, clock.WallNow());
  if (!writer.ok()) return Annotate(writer.status(), "open the audit log");
  return std::make_unique<FileAuditLog>(std::move(options), *std::move(writer), loop, clock);
}

}  // namespace lanyard
