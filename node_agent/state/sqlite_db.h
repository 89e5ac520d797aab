// One connection to an SQLite database, its statements, and its errors as Status.
//
// Codes: SQLITE_FULL (and whatever else failed for want of space) is ResourceExhausted "disk full"; READONLY, IOERR,
// CANTOPEN, BUSY and NOMEM are Unavailable; CORRUPT and NOTADB are DataLoss; what is left is a mistake of ours,
// Internal.
//
// SQLite's locks are POSIX locks, which a process loses as soon as it closes any descriptor of the file: while a
// connection is open, nothing else in this process may open and close the same file. stat(2) is harmless.
//
// Lifetime: a statement must go before its connection. Thread: any, one at a time; blocks on the disk.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

struct CloseSqlite {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class SqliteStatement {
 public:
  // Parameters count from 1. Text must live until the next Reset().
  SqliteStatement& Bind(int parameter, std::string_view text);
  SqliteStatement& Bind(int parameter, int64_t number);

  // True: there is a row to read. False: done, and ready to be bound anew. An error also makes it ready.
  Result<bool> Step();
  // Steps through to the end.
  Status Run();
  void Reset();

  // Columns count from 0; of the current row only.
  int64_t Number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::string Text(int column) const;

 private:
  friend class SqliteDb;
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, CloseSqlite> statement_;
  int bound_ = SQLITE_OK;  // the first Bind() that failed
};

class SqliteDb {
 public:
  enum class Create { kNo, kIfAbsent };

  // Does not read the file yet: a file that is no database shows with the first query. An error when the file can only
  // be opened for reading.
  static Result<SqliteDb> Open(const std::string& path, Create create);

  Status Exec(const std::string& sql);
  Result<SqliteStatement> Prepare(std::string_view sql);
  Result<int64_t> QueryNumber(std::string_view sql);

  // PRAGMA quick_check. OK also when `limit` has passed without a finding; DataLoss says what was found.
  Status QuickCheck(std::chrono::milliseconds limit);

  bool InTransaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
  // Whether the connection has to be opened anew after the error of the last call.
  bool NeedsReopening() const;

  // What closing does with the journal. Left: the database file is not touched by closing.
  enum class Journal { kMergedOnClose, kLeftOnClose };
  void SetJournal(Journal journal);
  // How many pages are in the journal since it was begun.
  int JournalPages() const { return *journal_pages_; }
  // Moves them into the database, as far as no reader needs them.
  Status Checkpoint();

 private:
  explicit SqliteDb(sqlite3* db) : db_(db) {}

  std::unique_ptr<int> journal_pages_ = std::make_unique<int>(0);  // SQLite's hook writes to it
  std::unique_ptr<sqlite3, CloseSqlite> db_;
};

}  // namespace lanyard
