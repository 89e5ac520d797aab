#include "node_agent/state/state_writer.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/state/schema.h"
#include "pki/hex.h"

namespace lanyard {
namespace {

constexpr int kMergeAtPages = 1000;  // of 4 KiB: about what journal_size_limit lets stay
constexpr int64_t kPruneRows = 1000;

int64_t ToUnix(WallTime when) {
  return std::chrono::floor<std::chrono::seconds>(when.time_since_epoch()).count();
}

WallTime FromUnix(int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

bool IsHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Status Damaged(const std::string& path, std::string_view what) {
  return Error(StatusCode::kDataLoss,
               "the state database {} is damaged ({}); put a backup in its place, or move it away to begin with a new "
               "one",
               path, what);
}

Result<std::optional<AuditHead>> LoadHead(SqliteStatement& query, const std::string& path) {
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return std::nullopt;
  const int64_t seq = query.Number(0);
  AuditHead head{static_cast<uint64_t>(seq), query.Text(1)};
  query.Reset();
  if (seq <= 0 || !IsLowerHex(head.hash, 64)) return Damaged(path, "the head of the audit log in it makes no sense");
  return head;
}

Result<RevocationState> LoadRevocations(SqliteDb& db, const std::string& path) {
  RevocationState state;
  ASSIGN_OR_RETURN(SqliteStatement revoked,
                   db.Prepare("SELECT authority, serial, not_after, revoked_at FROM revoked ORDER BY 1, 2"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, revoked.Step());
    if (!row) break;
    constexpr int64_t kEndOfOurClock = 9'000'000'000;  // within what nanoseconds since 1970 can say
    const int64_t not_after = revoked.Number(2), revoked_at = revoked.Number(3);
    const bool dates = std::min(not_after, revoked_at) >= 0 && std::max(not_after, revoked_at) <= kEndOfOurClock;
    RevokedSerial one{revoked.Text(0), revoked.Text(1), {}, {}};
    const size_t digits = one.serial.size();
    if (!IsHex(one.authority) || digits == 0 || digits > 40 || digits % 2 != 0 || !IsHex(one.serial) || !dates)
      return Damaged(path, "a revoked serial in it makes no sense");
    one.not_after = FromUnix(not_after);
    one.revoked_at = FromUnix(revoked_at);
    state.revoked.push_back(std::move(one));
  }
  ASSIGN_OR_RETURN(SqliteStatement numbers, db.Prepare("SELECT authority, number FROM crl_number"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, numbers.Step());
    if (!row) return state;
    if (numbers.Number(1) < 0) return Damaged(path, "a CRL number in it is negative");
    state.crl_numbers[numbers.Text(0)] = static_cast<uint64_t>(numbers.Number(1));
  }
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
  ASSIGN_OR_RETURN(SqliteStatement revoke,
                   db.Prepare("INSERT INTO revoked (authority, serial, not_after, revoked_at) VALUES (?1, ?2, ?3, ?4) "
                              "ON CONFLICT DO NOTHING"));
  // Never goes back, whatever is asked for.
  ASSIGN_OR_RETURN(SqliteStatement use_number,
                   db.Prepare("INSERT INTO crl_number (authority, number) VALUES (?1, ?2) "
                              "ON CONFLICT DO UPDATE SET number = max(number, excluded.number)"));
  ASSIGN_OR_RETURN(SqliteStatement save_head,
                   db.Prepare("INSERT INTO audit_head (only_row, seq, hash) VALUES (1, ?1, ?2) "
                              "ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash"));
  ASSIGN_OR_RETURN(SqliteStatement load_head, db.Prepare("SELECT seq, hash FROM audit_head"));
  ASSIGN_OR_RETURN(SqliteStatement prune,
                   db.Prepare("DELETE FROM issued WHERE (authority, serial) IN "
                              "(SELECT authority, serial FROM issued WHERE not_after < ?1 LIMIT ?2) RETURNING 1"));
  ASSIGN_OR_RETURN(SqliteStatement prune_revoked,
                   db.Prepare("DELETE FROM revoked WHERE (authority, serial) IN "
                              "(SELECT authority, serial FROM revoked WHERE not_after < ?1 LIMIT ?2) RETURNING 1"));
  return std::make_unique<Connection>(Connection{std::move(db), std::move(insert), std::move(revoke),
                                                 std::move(use_number), std::move(save_head), std::move(load_head),
                                                 std::move(prune), std::move(prune_revoked)});
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
  ASSIGN_OR_RETURN(RevocationState revocations, LoadRevocations((*connection)->db, path));
  ASSIGN_OR_RETURN(StateFiles files, StateFiles::Of(path));
  std::unique_ptr<StateWriter> writer(
      new StateWriter(path, std::move(reserve), *std::move(connection), std::move(files)));
  Status held = writer->reserve_state_;
  return Opened{std::move(writer), std::move(head), std::move(revocations), opened.made_anew, std::move(held)};
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
    all = Commit(batch.issued, batch.urgent);
  }
  outcome.issued = all;
  outcome.urgent = all;
  if (batch.urgent.count() > 0 && all.code() == StatusCode::kResourceExhausted) {
    if (reserve_.held()) {
      reserve_state_ = reserve_.Release();
      reserve_spent_ = true;
      LANYARD_LOG_WARN("state: {}; the space held in {} is used now", Message(all), reserve_.path());
    }
    outcome.urgent = Commit({}, batch.urgent);
  }
  outcome.reserve = reserve_.held() || reserve_.bytes() == 0 ? OkStatus() : reserve_state_;
  if (reserve_spent_ && outcome.reserve.ok()) {
    outcome.reserve = Error(StatusCode::kResourceExhausted, "the space held in {} is used", reserve_.path());
  }
  return outcome;
}

Status StateWriter::Commit(const std::vector<IssuedSerial>& issued, const UrgentWrites& urgent) {
  RETURN_IF_ERROR(MakeReady());
  const auto begun = std::chrono::steady_clock::now();
  Status done = RunTransaction(issued, urgent);
  if (done.code() == StatusCode::kResourceExhausted && !connection_->db.NeedsReopening()) {
    // A journal that could be merged as a whole is begun anew, in the space that it has.
    if (connection_->db.InTransaction()) IGNORE_ERROR(connection_->db.Exec("ROLLBACK"), "the next try would tell");
    if (connection_->db.Checkpoint().ok()) done = RunTransaction(issued, urgent);
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

Status StateWriter::RunTransaction(const std::vector<IssuedSerial>& issued, const UrgentWrites& urgent) {
  RETURN_IF_ERROR(connection_->db.Exec("BEGIN IMMEDIATE"));
  for (const IssuedSerial& one : issued) {
    SqliteStatement& insert = connection_->insert;
    insert.Bind(1, one.authority).Bind(2, one.serial).Bind(3, one.spiffe_id).Bind(4, ToUnix(one.not_after));
    RETURN_IF_ERROR(insert.Run());
  }
  RETURN_IF_ERROR(WriteUrgent(urgent));
  if (issued.empty() && urgent.count() == 0) {
    // Says nothing new, but is written.
    RETURN_IF_ERROR(connection_->db.Exec(fmt::format("PRAGMA user_version = {}", NewestSchema())));
  }
  return connection_->db.Exec("COMMIT");
}

Status StateWriter::WriteUrgent(const UrgentWrites& urgent) {
  if (urgent.head) {
    SqliteStatement& save = connection_->save_head;
    RETURN_IF_ERROR(save.Bind(1, static_cast<int64_t>(urgent.head->seq)).Bind(2, urgent.head->hash).Run());
  }
  for (const RevokedSerial& one : urgent.revoked) {
    SqliteStatement& revoke = connection_->revoke;
    revoke.Bind(1, one.authority).Bind(2, one.serial).Bind(3, ToUnix(one.not_after)).Bind(4, ToUnix(one.revoked_at));
    RETURN_IF_ERROR(revoke.Run());
  }
  for (const auto& [authority, number] : urgent.crl_numbers)
    RETURN_IF_ERROR(connection_->use_number.Bind(1, authority).Bind(2, static_cast<int64_t>(number)).Run());
  return OkStatus();
}

StateWriter::More StateWriter::Prune(WallTime ended) {
  if (connection_ == nullptr || reserve_spent_ || !MakeReady().ok()) return More::kNo;
  More more = More::kNo;
  for (SqliteStatement* prune : {&connection_->prune, &connection_->prune_revoked}) {
    const Result<More> pruned = PruneOne(*prune, ended);
    if (!pruned.ok()) {
      LANYARD_LOG_WARN("state: remove the serials of expired certificates: {}",
                       Message(WithRemedy(pruned.status(), path_)));
      if (connection_->db.NeedsReopening()) Close();
      return More::kNo;
    }
    if (*pruned == More::kYes) more = More::kYes;
  }
  return more;
}

Result<StateWriter::More> StateWriter::PruneOne(SqliteStatement& prune, WallTime ended) {
  prune.Bind(1, ToUnix(ended)).Bind(2, kPruneRows);
  for (int64_t removed = 0;; ++removed) {
    ASSIGN_OR_RETURN(const bool row, prune.Step());
    if (!row) return removed == kPruneRows ? More::kYes : More::kNo;
  }
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
