// The file of the state database: made, checked before it is believed, and watched while it is in use.
//
// Whether it is ours, whole and of a known version is found out before anything is written; a file that is refused
// stays as it is, byte by byte. A new one is made complete under another name and then renamed, so that <data_dir>/
// state.db is there whole or not at all.
//
// Errors name the file and the remedy: DataLoss when it is damaged, FailedPrecondition when it is not ours or of a
// newer version, PermissionDenied when others can read or change it, Unavailable and ResourceExhausted when the disk
// does not take or give it.
//
// Thread: any, one at a time; blocks on the disk.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>

#include "node_agent/base/status.h"
#include "node_agent/state/sqlite_db.h"

namespace lanyard {

struct OpenedState {
  SqliteDb db;
  bool made_anew = false;
};

// Opens the database for writing, of the newest schema, in WAL mode with synchronous=FULL. Makes it when it is absent,
// and migrates an older one after a backup. Checking takes a few seconds at most, however large it is.
Result<OpenedState> OpenStateFile(const std::string& path);

// Opens the same database again, after an error; no checks beyond those that SQLite makes. Errors are SQLite's, without
// the file's name.
Result<SqliteDb> ReopenStateFile(const std::string& path);

// Which files the names of the database, its journal and its index stood for when it was opened.
class StateFiles {
 public:
  // Once a connection to `path` has read something: from then on all three are there.
  static Result<StateFiles> Of(const std::string& path);

  // The database has its name still. Unavailable, with the remedy, when it has not.
  Status CheckDatabase() const;
  // So have journal and index. Unavailable: a new connection is needed, that makes new ones.
  Status CheckJournal() const;

 private:
  struct File {
    std::string path;
    dev_t device;
    ino_t inode;
  };

  static Result<File> Look(std::string path);
  static bool Same(const File& file);

  std::array<File, 3> files_;
};

}  // namespace lanyard
