#include "node_agent/state/schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"
#include "node_agent/base/log.h"

namespace lanyard {
namespace {

struct Migration {
  const char* name;
  const char* sql;
};

// Only ever appended to: what is in a release stays as it is.
constexpr std::array kMigrations = {
    Migration{"issued serials",
              // not_after: seconds since 1970. Serials are unique per authority only (RFC 5280 §4.1.2.2).
              "CREATE TABLE issued ("
              "  authority TEXT NOT NULL, serial TEXT NOT NULL, spiffe_id TEXT NOT NULL, not_after INTEGER NOT NULL,"
              "  PRIMARY KEY (authority, serial)) STRICT, WITHOUT ROWID;"
              "CREATE INDEX issued_by_end ON issued (not_after);"},
    Migration{"audit head",
              "CREATE TABLE audit_head ("
              "  only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;"},
    Migration{
        "revocations",
        // Times: seconds since 1970. crl_number: the highest that any CRL of the authority has or may have.
        "CREATE TABLE revoked ("
        "  authority TEXT NOT NULL, serial TEXT NOT NULL, not_after INTEGER NOT NULL, revoked_at INTEGER NOT NULL,"
        "  PRIMARY KEY (authority, serial)) STRICT, WITHOUT ROWID;"
        "CREATE INDEX revoked_by_end ON revoked (not_after);"
        "CREATE TABLE crl_number ("
        "  authority TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;"},
};

// Writes a copy to `path`, which must not be there yet, and puts it on the disk.
Status CopyTo(SqliteDb& db, const std::string& path) {
  {
    // Made by us for its mode; SQLite is content with an empty file.
    const UniqueFd made(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!made || fchmod(made.get(), 0600) != 0) return ErrnoStatus(errno, fmt::format("create {}", path));
  }
  ASSIGN_OR_RETURN(SqliteStatement copy, db.Prepare("VACUUM INTO ?1"));
  RETURN_IF_ERROR(copy.Bind(1, path).Run());
  const UniqueFd written(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!written || fsync(written.get()) != 0) return ErrnoStatus(errno, fmt::format("fsync {}", path));
  return OkStatus();
}

Status RunOne(SqliteDb& db, const Migration& migration, int64_t to) {
  RETURN_IF_ERROR(db.Exec("BEGIN IMMEDIATE"));
  Status done = db.Exec(migration.sql);
  if (done.ok()) done = db.Exec(fmt::format("PRAGMA user_version = {}", to));
  if (done.ok()) done = db.Exec("COMMIT");
  if (!done.ok() && db.InTransaction()) IGNORE_ERROR(db.Exec("ROLLBACK"), "closing rolls back as well");
  return Annotate(done, "migrate to schema {} ({})", to, migration.name);
}

}  // namespace

int64_t NewestSchema() {
  return static_cast<int64_t>(kMigrations.size());
}

Result<int64_t> SchemaOf(SqliteDb& db, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t version, db.QueryNumber("PRAGMA user_version"));
  if (version < 0 || version > NewestSchema()) {
    return Error(
        StatusCode::kFailedPrecondition,
        "{} has schema {}, this lanyard knows up to {}: it was used by a newer one; run that version again, or "
        "put the backup that it made before migrating ({}.v{}.backup) in its place; nothing was changed",
        path, version, NewestSchema(), path, NewestSchema());
  }
  return version;
}

Status Migrate(SqliteDb& db, int64_t version) {
  for (int64_t at = version; at < NewestSchema(); ++at) {
    RETURN_IF_ERROR(RunOne(db, kMigrations.at(static_cast<size_t>(at)), at + 1));
  }
  return OkStatus();
}

Result<std::string> BackUp(SqliteDb& db, const std::string& path, int64_t version) {
  const std::string backup = fmt::format("{}.v{}.backup", path, version);
  const std::string temporary = backup + ".tmp";
  for (const char* suffix : {"", "-journal"}) unlink((temporary + suffix).c_str());  // left over from a crash
  Status made = CopyTo(db, temporary);
  if (made.ok() && rename(temporary.c_str(), backup.c_str()) != 0) made = ErrnoStatus(errno, "rename");
  if (!made.ok()) {
    unlink(temporary.c_str());
    return Annotate(made, "back up {} to {}", path, backup);
  }
  RETURN_IF_ERROR(SyncDirectory(ParentDirectory(path)));
  return backup;
}

}  // namespace lanyard
