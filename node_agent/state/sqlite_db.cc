#include "node_agent/state/sqlite_db.h"

#include <cerrno>

namespace lanyard {
namespace {

constexpr int kBusyMs = 2000;          // how long another program's write is waited for
constexpr int kProgressSteps = 10000;  // of SQLite's machine, between two looks at the time

bool ForWantOfSpace(sqlite3* db, int code) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  if ((code & 0xff) != SQLITE_IOERR) return false;
  // SQLite takes ENOSPC from write(2) alone for "full"; it may also come from fsync, or as a quota.
  const int error = sqlite3_system_errno(db);
  return error == ENOSPC || error == EDQUOT;
}

Status SqliteError(sqlite3* db, int code) {
  if (ForWantOfSpace(db, code)) return Error(StatusCode::kResourceExhausted, "disk full");
  const char* text = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL: {
      const int error = db != nullptr ? sqlite3_system_errno(db) : 0;
      if (error == 0) return Error(StatusCode::kUnavailable, "{} (sqlite {})", text, code);
      return Error(StatusCode::kUnavailable, "{} (sqlite {}): {}", text, code, std::generic_category().message(error));
    }
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(StatusCode::kUnavailable,
                   "another program holds it locked (sqlite {}): end its transaction, or the program", code);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(StatusCode::kDataLoss, "{} (sqlite {})", text, code);
    case SQLITE_NOMEM:
      return Error(StatusCode::kUnavailable, "out of memory");  // no reason to give space on the disk back
    default:
      return Error(StatusCode::kInternal, "{} (sqlite {})", text, code);
  }
}

}  // namespace

SqliteStatement& SqliteStatement::Bind(int parameter, std::string_view text) {
  const int code =
      sqlite3_bind_text64(statement_.get(), parameter, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (bound_ == SQLITE_OK) bound_ = code;
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int parameter, int64_t number) {
  const int code = sqlite3_bind_int64(statement_.get(), parameter, number);
  if (bound_ == SQLITE_OK) bound_ = code;
  return *this;
}

Result<bool> SqliteStatement::Step() {
  const int code = bound_ == SQLITE_OK ? sqlite3_step(statement_.get()) : bound_;
  if (code == SQLITE_ROW) return true;
  Status failed;
  if (code != SQLITE_DONE) {
    sqlite3* db = sqlite3_db_handle(statement_.get());
    failed = SqliteError(db, bound_ == SQLITE_OK ? sqlite3_extended_errcode(db) : bound_);
  }
  Reset();
  if (!failed.ok()) return failed;
  return false;
}

Status SqliteStatement::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return OkStatus();
  }
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());  // says again what the last step said
  sqlite3_clear_bindings(statement_.get());
  bound_ = SQLITE_OK;
}

std::string SqliteStatement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (text == nullptr) return {};
  return std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

Result<SqliteDb> SqliteDb::Open(const std::string& path, Create create) {
  sqlite3* raw = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create == Create::kIfAbsent ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  SqliteDb db(raw);
  if (code != SQLITE_OK) {
    return SqliteError(raw, raw != nullptr ? sqlite3_extended_errcode(raw) : code);
  }
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyMs);
  if (sqlite3_db_readonly(raw, "main") == 1) {  // what SQLite falls back to
    return Error(StatusCode::kUnavailable, "it can only be read, not written");
  }
  sqlite3_wal_hook(
      raw,
      [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<int*>(pages) = count;
        return SQLITE_OK;
      },
      db.journal_pages_.get());
  return db;
}

Status SqliteDb::Exec(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return OkStatus();
  return SqliteError(db_.get(), sqlite3_extended_errcode(db_.get()));
}

Result<SqliteStatement> SqliteDb::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) return SqliteError(db_.get(), sqlite3_extended_errcode(db_.get()));
  return SqliteStatement(statement);
}

Result<int64_t> SqliteDb::QueryNumber(std::string_view sql) {
  ASSIGN_OR_RETURN(SqliteStatement query, Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) return Error(StatusCode::kInternal, "no answer to '{}'", sql);
  return query.Number(0);
}

Status SqliteDb::QuickCheck(std::chrono::milliseconds limit) {
  using Steady = std::chrono::steady_clock;
  struct Watch {
    Steady::time_point end;
    bool passed = false;
  } watch{Steady::now() + limit};
  ASSIGN_OR_RETURN(SqliteStatement check, Prepare("PRAGMA quick_check(1)"));
  sqlite3_progress_handler(
      db_.get(), kProgressSteps,
      [](void* state) {
        auto* running = static_cast<Watch*>(state);
        running->passed = Steady::now() > running->end;
        return running->passed ? 1 : 0;
      },
      &watch);
  auto row = check.Step();
  sqlite3_progress_handler(db_.get(), 0, nullptr, nullptr);
  if (!row.ok()) return watch.passed ? OkStatus() : row.status();
  if (!*row) return Error(StatusCode::kInternal, "no answer to quick_check");
  std::string found = check.Text(0);
  if (found == "ok") return OkStatus();
  for (char& c : found) {
    if (c == '\n') c = ' ';
  }
  return Error(StatusCode::kDataLoss, "{}", found);
}

bool SqliteDb::NeedsReopening() const {
  switch (sqlite3_errcode(db_.get()) & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
    case SQLITE_FULL:
    case SQLITE_BUSY:
      return false;
    default:
      return true;
  }
}

void SqliteDb::SetJournal(Journal journal) {
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, journal == Journal::kLeftOnClose ? 1 : 0, nullptr);
}

Status SqliteDb::Checkpoint() {
  const int code = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  return code == SQLITE_OK ? OkStatus() : SqliteError(db_.get(), sqlite3_extended_errcode(db_.get()));
}

}  // namespace lanyard
