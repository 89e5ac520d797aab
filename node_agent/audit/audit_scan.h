// What is in a file of the audit log, found in one reading: where its chain breaks, how it ends, what was issued.
//
// Quick rather than strict (audit_verify.h is strict): every line is hashed and linked to the one before, only few are
// parsed. Lines that fit together are a run; a whole file is one run. A run is anchored when it holds the line that
// was remembered elsewhere as the newest, or begins right after it. It is signed when it holds a checkpoint that covers
// the line before and verifies: whoever has only the files cannot make one.
//
// Thread: any; blocks on the disk; holds one line at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "node_agent/audit/audit_line.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

struct AuditScan {
  uint64_t lines = 0;
  uint64_t good_bytes = 0;      // of the first run, which begins with the file
  std::string problem;          // "line 17: …": where the first run breaks; empty: it does not
  bool only_last_line = false;  // and what breaks it is nothing but the last line

  AuditHead first;                // seq of the first line, and the hash that it names as the one before
  AuditHead end;                  // of the first run; seq 0: there is none
  bool anchored = false;          // the first run is
  uint64_t since_checkpoint = 0;  // lines of the first run after its last checkpoint
  std::string key_id;             // that signed this checkpoint
  uint64_t signed_seq = 0;        // of the first run: the newest line found to be covered by a checkpoint; 0: none

  AuditHead last_run_end;  // of the last run
  AuditHead trusted_end;   // of the run that goes furthest of those that are anchored or signed; seq 0: there is none
};

// Is this checkpoint by the key of this log?
using CheckpointTest = std::function<bool(const AuditCheckpoint&)>;

// `anchor`: what was remembered. Of each run the checkpoints are verified until one is good, and the last. `on_issued`
// gets what issue lines after the anchor name.
Result<AuditScan> ScanAuditFile(int fd, const std::string& path, const std::optional<AuditHead>& anchor,
                                const CheckpointTest& is_ours, const std::function<void(IssuedSerial)>& on_issued);

// The first line's number and the last line's number and hash, of a file that is whole. Reads only its ends.
struct AuditFileEnds {
  uint64_t first_seq = 0;
  AuditHead last;
  WallTime last_time;
};
Result<AuditFileEnds> ReadAuditFileEnds(const std::string& path);

}  // namespace lanyard
