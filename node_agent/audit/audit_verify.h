// Checks an audit log offline: the chain of hashes, the numbering, and every checkpoint's signature.
//
// Files are given oldest first; the first may begin anywhere in the chain (older ones may have been removed), and each
// of the others must continue the one before; the first continues the copied checkpoint right before it. What cannot be
// shown is said, not guessed: lines after the last valid checkpoint are chained but not signed. When there are more of
// them than an agent can leave behind, however it ended, somebody took checkpoints away or wrote without the key.
//
// Thread: any; blocks on the disk; holds one line at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "node_agent/base/status.h"

namespace lanyard {

struct AuditVerdict {
  uint64_t records = 0;  // lines, checkpoints included
  uint64_t first_seq = 0, last_seq = 0;
  std::string last_hash;         // of the last line
  uint64_t checkpoints = 0;      // with a valid signature
  uint64_t last_signed_seq = 0;  // covered by the last of them; 0: none
  uint64_t files = 0;
  std::vector<std::string>
      notes;  // what is no failure but should be known, e.g. "begins at seq 5001: earlier files are not here"
  std::vector<std::string> problems;  // "file:line: what is wrong"; empty: everything that was given fits together

  bool ok() const { return problems.empty(); }
};

struct AuditVerifyOptions {
  std::vector<std::string> files;          // oldest first
  std::string key_file;                    // PEM, the public (or the private) audit key
  std::optional<std::string> checkpoints;  // copies of checkpoint lines kept elsewhere: each must be in the log
};

// An error when something could not be read (InvalidArgument, NotFound); what was read and is wrong is in `problems`.
Result<AuditVerdict> VerifyAudit(const AuditVerifyOptions& options);

// The files of the log at `path`: rotated ones in order, then the current one. NotFound when there is none.
Result<std::vector<std::string>> AuditFiles(const std::string& path);

}  // namespace lanyard
