// The state of one node in SQLite: <data_dir>/state.db, in WAL mode with synchronous=FULL.
//
// A writer thread of its own takes what the loop asks for, puts everything that waits into one transaction, and answers
// when the commit has reached the disk. Serials, issued or revoked, of certificates that expired more than kKeepSerials
// ago are removed as it goes. A file beside it (<data_dir>/state.reserve) holds space that is given back when the disk
// is full, for those writes that may use it.
//
// While writing fails, it is tried again at intervals, so that health turns good by itself once the disk does. A disk
// that does not answer at all is told by health, too: the loop only sees that nothing comes back.
//
// Before each batch it is made sure that the path still names the file that was opened: a data directory that was
// removed or replaced is an error, not a write into nowhere.
//
// Failure: Open() refuses, and changes nothing, when the database is damaged, of a newer schema than this program
// knows, or not ours; the error names the file and the remedy. An older schema is migrated forward, after a backup.
//
// Lifetime: borrows loop, clock and the lock of the data directory. The destructor writes what is queued and joins the
// thread. Thread: loop.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "node_agent/base/event_loop.h"
#include "node_agent/state/data_dir_lock.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

// Longer than a wall clock is likely to be wrong by.
inline constexpr std::chrono::hours kKeepSerials{24 * 7};

struct SqliteOptions {
  uint64_t reserve_bytes = 4 << 20;
  std::chrono::milliseconds head_delay{1000};   // how long a head waits for a write to go with
  std::chrono::milliseconds probe_after{2000};  // after a failure: how soon it is looked whether writing works again
};

class SqliteStore : public StateStore {
 public:
  // Blocks: for start-up.
  static Result<std::unique_ptr<SqliteStore>> Open(const DataDirLock& data_dir, SqliteOptions options, EventLoop& loop,
                                                   Clock& clock);

  // What was in the store when it was opened; empty in a new one.
  virtual std::optional<AuditHead> audit_head_at_start() const = 0;
  virtual const RevocationState& revocations_at_start() const = 0;
  // True when Open() found no database and made one.
  virtual bool made_anew() const = 0;
};

}  // namespace lanyard
