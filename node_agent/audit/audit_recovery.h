// What an audit log is found like at start-up, and how it goes on from there.
//
// The log has to reach the line that was remembered elsewhere. What comes after it is taken by its chain, and that is
// put on record. When that line is in none of the files because all of them are newer (an old state database was put
// back), the files are believed if they chain without a break and hold a checkpoint of ours; else the current one is
// set aside. However it goes on, the next number is above every one in files that chain from the remembered line or
// from a checkpoint of ours, the file just set aside included.
//
// Thread: any; blocks on the disk, for start-up.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "node_agent/audit/audit_file.h"
#include "node_agent/audit/audit_record.h"
#include "node_agent/audit/audit_scan.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

struct AuditRecovery {
  AuditHead head;                    // of the line that the next one continues; seq 0: there is none yet
  std::optional<AuditFile> file;     // to go on with; none: a new one is due
  uint64_t since_checkpoint = 0;     // lines after the last checkpoint in it
  std::string key_id;                // that signed the last checkpoint; empty: none seen
  std::vector<AuditRecord> notes;    // what was done, to be put on record first
  std::string damage;                // what somebody must look at, with the remedy; empty: nothing
  std::vector<IssuedSerial> issued;  // by lines after the stored head, oldest first
};

// Sets aside what is torn or damaged, as audit_log.h tells. `stored` is the newest line that was remembered elsewhere.
// `is_ours` verifies with the key of this log. Serials that have expired at `now` are left out; of very many only the
// newest are kept.
Result<AuditRecovery> RecoverAuditLog(const std::string& path, const std::optional<AuditHead>& stored, WallTime now,
                                      CheckpointTest is_ours);

}  // namespace lanyard
