#include "node_agent/identity/recording_source.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "node_agent/base/join.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/disk_patience.h"
#include "node_agent/identity/text.h"
#include "node_agent/identity/token_serial.h"

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
  auto then = Recorded<X509Svid>(request.entry, request.cause, std::move(done));
  source_.Issue(std::move(request), std::move(then));
}

void RecordingSource::IssueJwt(JwtRequest request, JwtDone done) {
  auto then = Recorded<JwtSvid>(request.entry, request.cause, std::move(done));
  source_.IssueJwt(std::move(request), std::move(then));
}

void RecordingSource::IssueWit(WitRequest request, WitDone done) {
  auto then = Recorded<WitSvid>(request.entry, request.cause, std::move(done));
  source_.IssueWit(std::move(request), std::move(then));
}

template <class Svid, class Done>
absl::AnyInvocable<void(Result<Svid>) &&> RecordingSource::Recorded(EntryPtr entry, IssueCause cause, Done done) {
  return [this, alive = std::weak_ptr<void>(alive_), cause, entry = std::move(entry),
          done = std::move(done)](Result<Svid> svid) mutable {
    if (alive.expired()) return;
    if (!svid.ok()) return std::move(done)(svid.status());
    auto issued = std::make_shared<Issued>(ToIssued(*svid));
    issued->record.decision = AuditDecision::kAllow;
    issued->record.reason = cause == IssueCause::kRenewal ? "renewal" : "new";
    issued->record.owner = entry->owner ? entry->owner->business : "";
    issued->record.spiffe_id = issued->serial.spiffe_id;
    issued->record.serial = issued->serial.serial;
    issued->record.authority = issued->serial.authority;
    issued->record.not_after = issued->serial.not_after;
    Record(std::make_shared<Ask>(Ask{.cause = cause,
                                     .issued = std::move(issued),
                                     .done = [svid = *std::move(svid), done = std::move(done)](Status written) mutable {
                                       if (!written.ok()) return std::move(done)(NotRecorded(written));
                                       std::move(done)(std::move(svid));
                                     }}));
  };
}

RecordingSource::Issued RecordingSource::ToIssued(const X509Svid& svid) {
  return {.serial = {.authority = Hex(svid.leaf().authority_key_id()),
                     .serial = svid.serial_hex(),
                     .spiffe_id = svid.id().str(),
                     .not_after = svid.not_after()},
          .record = {.kind = AuditKind::kIssue}};
}

RecordingSource::Issued RecordingSource::ToIssued(const JwtSvid& svid) {
  return {.serial = {.authority = svid.key_id(),
                     .serial = TokenSerial(svid.token_id(), svid.token()),
                     .spiffe_id = svid.id().str(),
                     .not_after = svid.expires()},
          .record = {.kind = AuditKind::kIssueJwt, .resource = fmt::format("{}", fmt::join(svid.audiences(), " "))}};
}

RecordingSource::Issued RecordingSource::ToIssued(const WitSvid& svid) {
  return {.serial = {.authority = svid.key_id(),
                     .serial = TokenSerial(svid.token_id(), svid.token()),
                     .spiffe_id = svid.id().str(),
                     .not_after = svid.expires()},
          .record = {.kind = AuditKind::kIssueWit}};
}

void RecordingSource::Record(AskPtr ask) {
  if (!backlog_.empty() && ask->cause == IssueCause::kRenewal) return Finish(*ask, why_unwritten_);
  auto answer = WithinDiskPatience(clock_, [this, alive = std::weak_ptr<void>(alive_), ask](Status status) {
    if (!alive.expired()) Finish(*ask, std::move(status));
  });
  if (!backlog_.empty()) {
    std::erase_if(waiting_, [](const Waiting& one) { return !one.ask->done; });  // the clock has answered them
    waiting_.push_back({std::move(ask), std::move(answer)});
    return WriteBacklog();
  }
  Write(ask->issued, std::move(answer));
}

void RecordingSource::Finish(Ask& ask, Status written) {
  auto done = std::exchange(ask.done, nullptr);
  if (!written.ok() && ask.cause == IssueCause::kRenewal) written = Keep(ask.issued, written);
  std::move(done)(std::move(written));
}

void RecordingSource::Write(const std::shared_ptr<Issued>& issued, absl::AnyInvocable<void(Status) &&> done) {
  issued->writing = true;
  const size_t parts = (issued->in_state ? 0u : 1u) + (issued->in_audit ? 0u : 1u);
  const Join join(parts, [issued, alive = std::weak_ptr<void>(alive_), done = std::move(done)](Status status) mutable {
    issued->writing = false;
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
  if (!retry_) RetryLater();
  return OkStatus();
}

void RecordingSource::RetryLater() {
  retry_ = clock_.CallAfter(kRetryEvery, [this] { WriteBacklog(); });
}

void RecordingSource::WriteBacklog() {
  if (writing_backlog_) return;
  std::vector<std::shared_ptr<Issued>> batch;
  for (const std::shared_ptr<Issued>& issued : backlog_) {
    if (batch.size() == kBacklogBatch) break;
    if (!issued->writing && !issued->written()) batch.push_back(issued);  // else it is with a disk that was silent
  }
  if (batch.empty()) return OnBacklogWritten(OkStatus());
  writing_backlog_ = true;
  retry_.reset();
  const Join join(batch.size(), [this](const Status& status) {
    writing_backlog_ = false;
    OnBacklogWritten(status);
  });
  for (const auto& issued : batch) Write(issued, join.Part());
}

void RecordingSource::OnBacklogWritten(const Status& status) {
  const size_t before = backlog_.size();
  std::erase_if(backlog_, [](const std::shared_ptr<Issued>& issued) { return issued->written(); });
  if (!status.ok()) {
    why_unwritten_ = status;
    RetryLater();
    const std::weak_ptr<void> alive = alive_;
    for (Waiting& waiting : std::exchange(waiting_, {})) {
      std::move(waiting.answer)(status);
      if (alive.expired()) return;
    }
    return;
  }
  if (!backlog_.empty()) return backlog_.size() < before ? WriteBacklog() : RetryLater();
  if (before > 0) LANYARD_LOG_INFO("all renewals are on record again");
  why_unwritten_ = OkStatus();
  retry_.reset();
  for (Waiting& waiting : std::exchange(waiting_, {})) {
    if (waiting.ask->done) Write(waiting.ask->issued, std::move(waiting.answer));
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
