// Puts on record what callers are given and what they are denied.
//
// A grant is written before anything is handed out, and whoever hands out waits for that. A denial is never waited for:
// nothing is given in either case. Any process may provoke denials as fast as it likes, so neither the audit log nor
// the agent's log grows with them: of equal denials the first is written, the others are counted and the number written
// once a minute. So many different ones that they cannot be told apart any more are counted together, those of one user
// first: who varies its program or its cgroup must not take the others' place.
//
// Lifetime: borrows the log and the clock; outlives the calls. Thread: loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "node_agent/audit/audit_log.h"
#include "node_agent/base/clock.h"

namespace lanyard {

class AccessLog {
 public:
  AccessLog(AuditLog& audit, Clock& clock);
  ~AccessLog() { WriteCounts(); }

  // Joins the records of one call; unique over restarts.
  std::string NewCorrelationId();

  // `done` runs on the loop when all of `records` are written, or with the reason why not: at the latest after
  // kDiskPatience.
  void Grant(std::vector<AuditRecord> records, AuditLog::Done done);
  // Which entries a caller that is denied nearly earned. Looks at every entry: only asked for what is written.
  using Nearly = std::function<std::vector<std::string>()>;
  // `record` has kind, caller and resource; `why` is what the caller is told, `found` and `nearly` what it is not.
  void Deny(AuditRecord record, const Status& why, std::string_view found, const Nearly& nearly = nullptr);
  // The same where no workload that asked for an identity is refused one: not among denials(). Of a caller that nobody
  // knows, since it is above a limit, its account is what was found.
  void Refuse(AuditRecord record, const Status& why, std::string_view found) {
    Record(std::move(record), why, found, nullptr);
  }
  // The end of what was granted.
  void Release(AuditRecord record) { audit_.Append(std::move(record)); }

  // Writes the counts at once instead of at the end of the minute. For a clean stop.
  void WriteCounts();

  uint64_t denials() const { return denials_; }
  uint64_t grants() const { return grants_; }

 private:
  struct Counted {
    AuditRecord record;
    uint64_t more = 0;  // since the record or the last count was written
  };
  using Key = std::tuple<uid_t, std::string>;

  void Record(AuditRecord record, const Status& why, std::string_view found, const Nearly& nearly);
  size_t KindsOf(uid_t uid) const;
  void SetAlarm();

  AuditLog& audit_;
  Clock& clock_;
  const std::string run_;
  uint64_t calls_ = 0;
  uint64_t denials_ = 0;
  uint64_t grants_ = 0;
  std::map<Key, Counted> counted_;  // under a user's "": of more kinds than one user may have
  Counted rest_;                    // of more kinds than counted_ may hold
  std::unique_ptr<Clock::Alarm> alarm_;
};

}  // namespace lanyard
