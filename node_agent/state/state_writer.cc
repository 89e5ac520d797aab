#include "node_agent/state/state_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/state/schema.h"

namespace lanyard {
namespace {

constexpr int kMergeAtPages = 1000;  // of 4 KiB: about what journal_size_limit lets stay
constexpr int64_t kPruneRows = 1000;

int64_t ToUnix(WallTime when) {
  return std::chrono::floor<std::chrono::seconds>(when.time_since_epoch()).count();
}

bool IsHash(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::optional<AuditHead>> LoadHead(SqliteStatement& query, const std::string& path) {
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return std::nullopt;
  AuditHead head{static_cast<uint64_t>(query.Number(0)), query.Text(1)};
  query.Reset();
  if (!IsHash(head.hash)) {
    return Error(StatusCode::kDataLoss,
                 "the state database {} is damaged (the head of the audit log in it is no hash); put a backup in its "
                 "place, or move it away to begin with a new one",
                 path);
  }
  return head;
}

// What to do about a failed write.
Status WithRemedy(const Status& failed, const std::string& path) {
  switch (failed.code()) {
    case StatusCode::kResourceExhausted:
      return Error(failed.code(), "write {}: {}; make room on its file system", path, Message(failed));
    case StatusCode::kDataLoss:
      return Error(failed.code(), "write {}: {}; stop the agent and put a backup in its place", path, Message(failed));
    default:
      return Error(failed.code(), "write {}: {}; see that its file system can be written, it is tried again by itself",
                   path, Message(failed));
  }
}

}  // namespace

Result<std::unique_ptr<StateWriter::Connection>> StateWriter::Connection::Of(SqliteDb db) {
  ASSIGN_OR_RETURN(SqliteStatement insert,
                   db.Prepare("INSERT INTO issued (authority, serial, spiffe_id, not_after) VALUES (?1, ?2, ?3, ?4) "
                              "ON CONFLICT DO NOTHING"));
  ASSIGN_OR_RETURN(SqliteStatement save_head,
                   db.Prepare("INSERT INTO audit_head (only_row, seq, hash) VALUES (1, ?1, ?2) "
                              "ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash"));
  ASSIGN_OR_RETURN(SqliteStatement load_head, db.Prepare("SELECT seq, hash FROM audit_head"));
  ASSIGN_OR_RETURN(SqliteStatement prune,
                   db.Prepare("DELETE FROM issued WHERE (authority, serial) IN "
                              "(SELECT authority, serial FROM issued WHERE not_after < ?1 LIMIT ?2) RETURNING 1"));
  return std::make_unique<Connection>(
      Connection{std::move(db), std::move(insert), std::move(save_head), std::move(load_head), std::move(prune)});
}

Result<StateWriter::Opened> StateWriter::Open(const std::string& path, SpaceReserve reserve) {
  ASSIGN_OR_RETURN(OpenedState opened, OpenStateFile(path));
  auto connection = Connection::Of(std::move(opened.db));
  if (!connection.ok()) {
    return Error(StatusCode::kDataLoss,
                 "the state database {} lacks what its schema has ({}); put a backup in its place, or move it away to "
                 "begin with a new one",
                 path, Message(connection.status()));
  }
  ASSIGN_OR_RETURN(std::optional<AuditHead> head, LoadHead((*connection)->load_head, path));
  ASSIGN_OR_RETURN(StateFiles files, StateFiles::Of(path));
  std::unique_ptr<StateWriter> writer(
      new StateWriter(path, std::move(reserve), *std::move(connection), std::move(files)));
  Status held = writer->reserve_state_;
  return Opened{std::move(writer), std::move(head), opened.made_anew, std::move(held)};
}

StateWriter::StateWriter(std::string path, SpaceReserve reserve, std::unique_ptr<Connection> connection,
                         StateFiles files)
    : path_(std::move(path)),
      reserve_(std::move(reserve)),
      reserve_state_(reserve_.Make()),
      connection_(std::move(connection)),
      files_(std::move(files)),
      commit_seconds_(LatencyBuckets()) {}

StateWriter::~StateWriter() {
  Close();
}

void StateWriter::Close() {
  if (connection_ == nullptr) return;
  // Closing removes the journal by its name: never that of a database which took the place of ours.
  if (!files_.CheckDatabase().ok()) connection_->db.SetJournal(SqliteDb::Journal::kLeftOnClose);
  connection_.reset();
}

Status StateWriter::MakeReady() {
  RETURN_IF_ERROR(files_.CheckDatabase());
  if (connection_ == nullptr) {
    auto db = ReopenStateFile(path_);
    if (!db.ok()) return WithRemedy(db.status(), path_);
    auto connection = Connection::Of(*std::move(db));
    if (!connection.ok()) return WithRemedy(connection.status(), path_);
    ASSIGN_OR_RETURN(StateFiles files, StateFiles::Of(path_));
    RETURN_IF_ERROR(files_.CheckDatabase());
    files_ = std::move(files);
    connection_ = *std::move(connection);
  }
  Status journal = files_.CheckJournal();
  if (!journal.ok()) Close();  // merges what is in the journal that has lost its name
  return journal;
}

BatchOutcome StateWriter::Write(const StateBatch& batch) {
  // Asks the file system first, and takes nothing while there is little room: cheap enough for every batch.
  if (!reserve_.held()) {
    reserve_state_ = reserve_.Restore();
    if (reserve_state_.ok()) reserve_spent_ = false;
  }
  BatchOutcome outcome;
  Status all = OkStatus();
  if (reserve_spent_) {
    all = WithRemedy(Error(StatusCode::kResourceExhausted, "disk full"), path_);
  } else {
    all = Commit(batch.issued, batch.head);
  }
  outcome.issued = all;
  outcome.head = all;
  if (batch.head && all.code() == StatusCode::kResourceExhausted) {
    if (reserve_.held()) {
      reserve_state_ = reserve_.Release();
      reserve_spent_ = true;
      LANYARD_LOG_WARN("state: {}; the space held in {} is used now", Message(all), reserve_.path());
    }
    outcome.head = Commit({}, batch.head);
  }
  outcome.reserve = reserve_.held() || reserve_.bytes() == 0 ? OkStatus() : reserve_state_;
  if (reserve_spent_ && outcome.reserve.ok()) {
    outcome.reserve = Error(StatusCode::kResourceExhausted, "the space held in {} is used", reserve_.path());
  }
  return outcome;
}

Status StateWriter::Commit(const std::vector<IssuedSerial>& issued, const std::optional<AuditHead>& head) {
  RETURN_IF_ERROR(MakeReady());
  const auto begun = std::chrono::steady_clock::now();
  Status done = RunTransaction(issued, head);
  if (done.code() == StatusCode::kResourceExhausted && !connection_->db.NeedsReopening()) {
    // A journal that could be merged as a whole is begun anew, in the space that it has.
    if (connection_->db.InTransaction()) IGNORE_ERROR(connection_->db.Exec("ROLLBACK"), "the next try would tell");
    if (connection_->db.Checkpoint().ok()) done = RunTransaction(issued, head);
  }
  if (!done.ok()) {
    const bool reopen = connection_->db.NeedsReopening();
    if (connection_->db.InTransaction()) IGNORE_ERROR(connection_->db.Exec("ROLLBACK"), "looked at below");
    if (reopen || connection_->db.InTransaction()) Close();
    return WithRemedy(done, path_);
  }
  ObserveTime(commit_seconds_, std::chrono::steady_clock::now() - begun);
  // Durable, but only under a name that will be found again.
  RETURN_IF_ERROR(files_.CheckDatabase());
  return files_.CheckJournal();
}

Status StateWriter::RunTransaction(const std::vector<IssuedSerial>& issued, const std::optional<AuditHead>& head) {
  RETURN_IF_ERROR(connection_->db.Exec("BEGIN IMMEDIATE"));
  for (const IssuedSerial& one : issued) {
    SqliteStatement& insert = connection_->insert;
    insert.Bind(1, one.authority).Bind(2, one.serial).Bind(3, one.spiffe_id).Bind(4, ToUnix(one.not_after));
    RETURN_IF_ERROR(insert.Run());
  }
  if (head) {
    SqliteStatement& save = connection_->save_head;
    RETURN_IF_ERROR(save.Bind(1, static_cast<int64_t>(head->seq)).Bind(2, head->hash).Run());
  }
  if (issued.empty() && !head) {
    // Says nothing new, but is written.
    RETURN_IF_ERROR(connection_->db.Exec(fmt::format("PRAGMA user_version = {}", NewestSchema())));
  }
  return connection_->db.Exec("COMMIT");
}

StateWriter::More StateWriter::Prune(WallTime ended) {
  if (connection_ == nullptr || reserve_spent_ || !MakeReady().ok()) return More::kNo;
  SqliteStatement& prune = connection_->prune;
  prune.Bind(1, ToUnix(ended)).Bind(2, kPruneRows);
  int64_t removed = 0;
  while (true) {
    const auto row = prune.Step();
    if (!row.ok()) {
      LANYARD_LOG_WARN("state: remove the serials of expired certificates: {}",
                       Message(WithRemedy(row.status(), path_)));
      if (connection_->db.NeedsReopening()) Close();
      return More::kNo;
    }
    if (!*row) break;
    ++removed;
  }
  return removed == kPruneRows ? More::kYes : More::kNo;
}

void StateWriter::MergeJournal() {
  if (connection_ == nullptr || connection_->db.JournalPages() < kMergeAtPages || !files_.CheckDatabase().ok()) return;
  // What could not be merged stays in the journal, and nothing is lost; the next batch tries again.
  if (const Status merged = connection_->db.Checkpoint(); !merged.ok()) {
    LANYARD_LOG_DEBUG("state: merge the journal of {}: {}", path_, Message(merged));
  }
}

uint64_t StateWriter::BytesOnDisk() const {
  uint64_t bytes = 0;
  for (const char* suffix : {"", "-wal"}) {
    struct stat info {};
    if (stat((path_ + suffix).c_str(), &info) == 0) bytes += static_cast<uint64_t>(std::max<off_t>(info.st_size, 0));
  }
  return bytes;
}

}  // namespace lanyard
