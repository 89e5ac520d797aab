#include "node_agent/identity/recording_source.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/join.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/text.h"

namespace lanyard {
namespace {

constexpr std::chrono::seconds kRetryEvery{2};
constexpr std::size_t kBacklogBatch = 256;

// For the caller it is an outage, whatever the disk said.
Status NotRecorded(const Status& why) {
  return Error(StatusCode::kUnavailable, "no identity is handed out that cannot be put on record first: {}",
               Message(why));
}

}  // namespace

RecordingSource::RecordingSource(IdentitySource& source, StateStore& state, AuditLog& audit, Clock& clock,
                                 std::size_t most_unwritten)
    : source_(source), state_(state), audit_(audit), clock_(clock), most_unwritten_(most_unwritten) {}

void RecordingSource::Issue(IssueRequest request, IssueDone done) {
  const IssueCause cause = request.cause;
  source_.Issue(request, [this, alive = std::weak_ptr<void>(alive_), cause, entry = request.entry,
                          done = std::move(done)](Result<X509Svid> svid) mutable {
    if (alive.expired()) return;
    if (!svid.ok()) return std::move(done)(svid.status());
    OnSigned(cause, entry, *std::move(svid), std::move(done));
  });
}

void RecordingSource::OnSigned(IssueCause cause, const EntryPtr& entry, X509Svid svid, IssueDone done) {
  auto issued = std::make_shared<Issued>();
  issued->serial = {.authority = Hex(svid.leaf().authority_key_id()),
                    .serial = svid.serial_hex(),
                    .spiffe_id = svid.id().str(),
                    .not_after = svid.not_after()};
  issued->record = {.kind = AuditKind::kIssue,
                    .decision = AuditDecision::kAllow,
                    .reason = cause == IssueCause::kRenewal ? "renewal" : "new",
                    .spiffe_id = svid.id().str(),
                    .owner = entry->owner ? entry->owner->business : "",
                    .serial = svid.serial_hex(),
                    .authority = issued->serial.authority,
                    .not_after = svid.not_after()};
  if (!backlog_.empty()) {
    if (cause == IssueCause::kRenewal) {
      const Status kept = Keep(std::move(issued), why_unwritten_);
      return kept.ok() ? std::move(done)(std::move(svid)) : std::move(done)(kept);
    }
    waiting_.push_back({std::move(issued), std::move(svid), std::move(done)});
    return WriteBacklog();
  }
  Write(issued, [this, cause, issued, svid = std::move(svid), done = std::move(done)](Status status) mutable {
    if (!status.ok() && cause == IssueCause::kRenewal) status = Keep(std::move(issued), status);
    if (!status.ok()) return std::move(done)(NotRecorded(status));
    std::move(done)(std::move(svid));
  });
}

void RecordingSource::Write(const std::shared_ptr<Issued>& issued, absl::AnyInvocable<void(Status) &&> done) {
  const size_t parts = (issued->in_state ? 0u : 1u) + (issued->in_audit ? 0u : 1u);
  const Join join(parts, [alive = std::weak_ptr<void>(alive_), done = std::move(done)](Status status) mutable {
    if (!alive.expired()) std::move(done)(std::move(status));
  });
  if (!issued->in_state) {
    state_.RecordIssued(issued->serial, [issued, part = join.Part()](Status status) mutable {
      issued->in_state = status.ok();
      std::move(part)(std::move(status));
    });
  }
  if (!issued->in_audit) {
    audit_.Append(issued->record, [issued, part = join.Part()](Status status) mutable {
      issued->in_audit = status.ok();
      std::move(part)(std::move(status));
    });
  }
}

Status RecordingSource::Keep(std::shared_ptr<Issued> issued, const Status& why) {
  if (backlog_.size() >= most_unwritten_) {
    return Error(StatusCode::kUnavailable, "{} renewals wait to be written and no more are kept: {}", backlog_.size(),
                 Message(why));
  }
  if (backlog_.empty()) {
    LANYARD_LOG_ERROR("renewals are handed out before they are on record, until there is room: {}", Message(why));
    why_unwritten_ = why;
  }
  backlog_.push_back(std::move(issued));
  if (!retry_) retry_ = clock_.CallAfter(kRetryEvery, [this] { WriteBacklog(); });
  return OkStatus();
}

void RecordingSource::WriteBacklog() {
  if (writing_backlog_ || backlog_.empty()) return;
  writing_backlog_ = true;
  retry_.reset();
  const size_t count = std::min(backlog_.size(), kBacklogBatch);
  const Join join(count, [this, count](Status status) { OnBacklogWritten(count, status); });
  // Write() may not answer at once, but let nothing depend on it: the deque is not looked at while it answers.
  const std::vector<std::shared_ptr<Issued>> batch(backlog_.begin(), backlog_.begin() + static_cast<ptrdiff_t>(count));
  for (const auto& issued : batch) Write(issued, join.Part());
}

void RecordingSource::OnBacklogWritten(std::size_t tried, const Status& status) {
  writing_backlog_ = false;
  const auto tried_end = backlog_.begin() + static_cast<ptrdiff_t>(tried);
  const auto written = [](const std::shared_ptr<Issued>& issued) { return issued->in_state && issued->in_audit; };
  backlog_.erase(std::remove_if(backlog_.begin(), tried_end, written), tried_end);
  if (!status.ok()) {
    why_unwritten_ = status;
    retry_ = clock_.CallAfter(kRetryEvery, [this] { WriteBacklog(); });
    const std::weak_ptr<void> alive = alive_;
    for (Waiting& waiting : std::exchange(waiting_, {})) {
      std::move(waiting.done)(NotRecorded(status));
      if (alive.expired()) return;
    }
    return;
  }
  if (!backlog_.empty()) return WriteBacklog();
  LANYARD_LOG_INFO("all renewals are on record again");
  why_unwritten_ = OkStatus();
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    Write(waiting.issued, [svid = std::move(waiting.svid), done = std::move(waiting.done)](Status now_written) mutable {
      if (!now_written.ok()) return std::move(done)(NotRecorded(now_written));
      std::move(done)(std::move(svid));
    });
  }
}

HealthReport RecordingSource::record_health() const {
  if (backlog_.empty()) return {};
  const bool full = backlog_.size() >= most_unwritten_;
  return {
      full ? HealthLevel::kBroken : HealthLevel::kDegraded,
      fmt::format("{} of at most {} renewals are handed out but not yet on record, new identities are refused{}: {}",
                  backlog_.size(), most_unwritten_, full ? ", renewals too" : "", Message(why_unwritten_))};
}

HealthReport RecordingSource::health() const {
  HealthReport own = record_health();
  HealthReport source = source_.health();
  return own.level > source.level ? own : source;
}

}  // namespace lanyard
