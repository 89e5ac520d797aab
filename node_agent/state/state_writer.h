// Makes batches of writes durable, and gets through what a disk can do to it.
//
// A disk that is full or read-only is no end: the next batch is tried anew, with a new connection where SQLite needs
// one, and succeeds once the disk does. What must be written on a full disk too may use the space in reserve. Once that
// was given back, other writes are refused until it is held again: they would only eat it.
//
// Lifetime: of its own. Thread: any, one at a time; blocks on the disk.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/histogram.h"
#include "node_agent/base/space_reserve.h"
#include "node_agent/base/status.h"
#include "node_agent/state/state_file.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

// What may use the reserve: without it a full disk would keep what was revoked in use, or the audit log's end unknown.
struct UrgentWrites {
  std::optional<AuditHead> head;
  std::vector<RevokedSerial> revoked;
  std::map<std::string, uint64_t> crl_numbers;  // by authority, the highest

  std::size_t count() const { return (head ? 1 : 0) + revoked.size() + crl_numbers.size(); }
};

struct StateBatch {
  std::vector<IssuedSerial> issued;
  UrgentWrites urgent;

  std::size_t count() const { return issued.size() + urgent.count(); }
};

struct BatchOutcome {
  Status issued;   // all of them, or none
  Status urgent;   // the same; OK also when there was none to write
  Status reserve;  // why there is no space in reserve, when there is none
};

class StateWriter {
 public:
  struct Opened {
    std::unique_ptr<StateWriter> writer;
    std::optional<AuditHead> head;
    RevocationState revocations;
    bool made_anew = false;
    Status reserve;  // why there is no space in reserve
  };

  // `path` of the database, in a directory of which the caller holds the lock.
  static Result<Opened> Open(const std::string& path, SpaceReserve reserve);
  ~StateWriter();

  // An empty batch is a probe: it finds out whether writing works, by writing.
  BatchOutcome Write(const StateBatch& batch);

  // After a batch: merges a long journal, and removes some of the serials that ended before `ended`. Returns whether
  // there are more of those. Failures are for the next Write() to find.
  enum class More { kNo, kYes };
  More Prune(WallTime ended);
  void MergeJournal();

  uint64_t BytesOnDisk() const;
  const Histogram& commit_seconds() const { return commit_seconds_; }

 private:
  // A connection with what was prepared on it.
  struct Connection {
    SqliteDb db;
    SqliteStatement insert, revoke, use_number, save_head, load_head, prune, prune_revoked;

    static Result<std::unique_ptr<Connection>> Of(SqliteDb db);
  };

  StateWriter(std::string path, SpaceReserve reserve, std::unique_ptr<Connection> connection, StateFiles files);
  Status MakeReady();
  void Close();
  Status Commit(const std::vector<IssuedSerial>& issued, const UrgentWrites& urgent);
  Status RunTransaction(const std::vector<IssuedSerial>& issued, const UrgentWrites& urgent);
  Status WriteUrgent(const UrgentWrites& urgent);
  Result<More> PruneOne(SqliteStatement& prune, WallTime ended);

  const std::string path_;
  SpaceReserve reserve_;
  Status reserve_state_;  // of the last attempt to hold it
  bool reserve_spent_ = false;
  std::unique_ptr<Connection> connection_;  // none: to be opened anew
  StateFiles files_;
  Histogram commit_seconds_;
};

}  // namespace lanyard
