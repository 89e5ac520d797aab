#include "node_agent/state/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string_view>
#include <utility>

#include "node_agent/base/fd.h"
#include "node_agent/base/file.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/state/schema.h"

namespace lanyard {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::chrono::seconds kCheckLimit{10};

// "Database File Format", section 1.3: where the header says what it is.
constexpr size_t kHeaderBytes = 100;
constexpr std::string_view kMagic = "SQLite format 3\0"sv;
constexpr size_t kApplicationIdAt = 68;

Status Damaged(const std::string& path, std::string_view what) {
  return Error(
      StatusCode::kDataLoss,
      "the state database {} is damaged ({}); move it, {}-wal and {}-shm away and put a backup in its place, or let a "
      "new one be made, which knows only the serials that the audit log still names; nothing was changed",
      path, what, path, path);
}

// Gives an error of SQLite's the file's name, and what to do about damage.
Status Explain(const Status& status, const std::string& path) {
  if (status.ok()) return status;
  if (status.code() == StatusCode::kDataLoss) return Damaged(path, Message(status));
  return Annotate(status, "state database {}", path);
}

Result<bool> IsThere(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) return true;
  if (errno == ENOENT) return false;
  return ErrnoStatus(errno, fmt::format("look at {}", path));
}

uint32_t BigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

// What can be known without SQLite, which would already write beside it.
Status CheckHeader(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", path));
  if (!S_ISREG(info.st_mode)) {
    return Error(StatusCode::kFailedPrecondition, "the state database {} is not a plain file; move it away", path);
  }
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const Status trusted = CheckTrustedFile(path + suffix, FileSecrecy::kSecret);
    if (!trusted.ok() && trusted.code() != StatusCode::kNotFound) return Annotate(trusted, "state database");
  }
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenTrustedFile(path, FileSecrecy::kSecret));
  std::string header(kHeaderBytes, '\0');
  const ssize_t got = pread(fd.get(), header.data(), header.size(), 0);
  if (got < 0) return ErrnoStatus(errno, fmt::format("read {}", path));
  if (got == 0) return Damaged(path, "it is empty");
  if (static_cast<size_t>(got) < kHeaderBytes || !header.starts_with(kMagic)) {
    return Damaged(path, "it does not begin as an SQLite database does");
  }
  if (BigEndian(std::string_view(header).substr(kApplicationIdAt)) != kStateApplicationId) {
    return Error(StatusCode::kFailedPrecondition,
                 "{} is the database of another program, not the state of lanyard; move it away, or choose another "
                 "data_dir; nothing was changed",
                 path);
  }
  return OkStatus();
}

Status Configure(SqliteDb& db) {
  return db.Exec(
      "PRAGMA synchronous = FULL;"            // an answer of OK outlives a power cut
      "PRAGMA temp_store = MEMORY;"           // a full /tmp is nothing to us
      "PRAGMA journal_size_limit = 4194304;"  // what stays of the journal after it was merged
      "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;");
}

void RemoveUnfinished(const std::string& path) {
  for (const char* suffix : {"", "-journal", "-wal", "-shm"}) unlink((path + suffix).c_str());
}

Status MakeComplete(const std::string& path) {
  {
    // Journal and index get the same mode from SQLite.
    const UniqueFd made(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!made || fchmod(made.get(), 0600) != 0) return ErrnoStatus(errno, "create");
  }
  {
    ASSIGN_OR_RETURN(SqliteDb db, SqliteDb::Open(path, SqliteDb::Create::kIfAbsent));
    RETURN_IF_ERROR(Configure(db));
    RETURN_IF_ERROR(db.Exec(fmt::format("PRAGMA application_id = {}; PRAGMA journal_mode = WAL", kStateApplicationId)));
    RETURN_IF_ERROR(Migrate(db, 0));
    RETURN_IF_ERROR(db.Checkpoint());
  }
  if (access((path + "-wal").c_str(), F_OK) == 0) return Error(StatusCode::kUnavailable, "its journal stays");
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync");
  return OkStatus();
}

Status MakeStateFile(const std::string& path) {
  for (const char* suffix : {"-wal", "-journal"}) {
    ASSIGN_OR_RETURN(const bool left, IsThere(path + suffix));
    if (left) return Damaged(path, fmt::format("it is not there, but its journal {}{} is", path, suffix));
  }
  const std::string unfinished = path + ".new";
  RemoveUnfinished(unfinished);
  Status made = MakeComplete(unfinished);
  if (made.ok() && rename(unfinished.c_str(), path.c_str()) != 0) made = ErrnoStatus(errno, "rename it");
  if (!made.ok()) {
    RemoveUnfinished(unfinished);
    if (made.code() == StatusCode::kResourceExhausted) {
      return Error(made.code(), "make the state database {}: {}; make room on its file system", path, Message(made));
    }
    return Annotate(made, "make the state database {}", path);
  }
  return SyncDirectory(ParentDirectory(path));
}

// Finds out what can be wrong with a database that has our header. Writes nothing into it.
Result<int64_t> Examine(SqliteDb& db, const std::string& path) {
  if (Status whole = db.QuickCheck(kCheckLimit); !whole.ok()) return Explain(whole, path);
  auto version = SchemaOf(db, path);
  if (!version.ok() && version.status().code() != StatusCode::kFailedPrecondition) {
    return Explain(version.status(), path);
  }
  return version;
}

Result<SqliteDb> OpenExisting(const std::string& path) {
  RETURN_IF_ERROR(CheckHeader(path));
  auto db = SqliteDb::Open(path, SqliteDb::Create::kNo);
  if (!db.ok()) return Explain(db.status(), path);
  db->SetJournal(SqliteDb::Journal::kLeftOnClose);
  ASSIGN_OR_RETURN(const int64_t version, Examine(*db, path));
  db->SetJournal(SqliteDb::Journal::kMergedOnClose);
  RETURN_IF_ERROR(Explain(Configure(*db), path));
  RETURN_IF_ERROR(Explain(db->Exec("PRAGMA journal_mode = WAL"), path));  // a restored backup is not
  if (version == NewestSchema()) return db;

  ASSIGN_OR_RETURN(const std::string backup, BackUp(*db, path, version));
  RETURN_IF_ERROR(Explain(Migrate(*db, version), path));
  LANYARD_LOG_INFO("migrated {} from schema {} to {}; as it was before it is kept in {}", path, version, NewestSchema(),
                   backup);
  return db;
}

}  // namespace

Result<OpenedState> OpenStateFile(const std::string& path) {
  ASSIGN_OR_RETURN(const bool there, IsThere(path));
  if (!there) RETURN_IF_ERROR(MakeStateFile(path));
  ASSIGN_OR_RETURN(SqliteDb db, OpenExisting(path));
  return OpenedState{std::move(db), !there};
}

Result<SqliteDb> ReopenStateFile(const std::string& path) {
  ASSIGN_OR_RETURN(SqliteDb db, SqliteDb::Open(path, SqliteDb::Create::kNo));
  RETURN_IF_ERROR(Configure(db));
  ASSIGN_OR_RETURN(const int64_t version, SchemaOf(db, path));
  if (version != NewestSchema()) return Error(StatusCode::kUnavailable, "it has schema {} now", version);
  return db;
}

Result<StateFiles> StateFiles::Of(const std::string& path) {
  ASSIGN_OR_RETURN(File database, Look(path));
  ASSIGN_OR_RETURN(File journal, Look(path + "-wal"));
  ASSIGN_OR_RETURN(File index, Look(path + "-shm"));
  StateFiles files;
  files.files_ = {std::move(database), std::move(journal), std::move(index)};
  return files;
}

Result<StateFiles::File> StateFiles::Look(std::string path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, fmt::format("look at {}", path));
  return File{std::move(path), info.st_dev, info.st_ino};
}

bool StateFiles::Same(const File& file) {
  struct stat info {};
  return stat(file.path.c_str(), &info) == 0 && info.st_dev == file.device && info.st_ino == file.inode;
}

Status StateFiles::CheckDatabase() const {
  if (Same(files_[0])) return OkStatus();
  return Error(StatusCode::kUnavailable,
               "the state database {} was removed or replaced while the agent runs; put it back, or restart the agent "
               "after making sure that {} is what it shall go on with",
               files_[0].path, ParentDirectory(files_[0].path));
}

Status StateFiles::CheckJournal() const {
  for (const File& file : {files_[1], files_[2]}) {
    if (Same(file)) continue;
    return Error(StatusCode::kUnavailable,
                 "{} was removed or replaced while the agent runs; leave the files of the state database alone, it is "
                 "opened anew with the next write",
                 file.path);
  }
  return OkStatus();
}

}  // namespace lanyard
