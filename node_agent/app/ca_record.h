// Puts on record what becomes of the authorities: prepared, signing, retired, removed.
//
// Compares what the keeper shows before and after each change of the bundle or of the signer.
//
// Lifetime: borrows the keeper and the log; the keeper's source calls it as long as both live. Thread: loop.
#pragma once

#include <vector>

#include "node_agent/audit/audit_log.h"
#include "node_agent/identity/ca_keeper.h"

namespace lanyard {

class CaRecord {
 public:
  CaRecord(CaKeeper& ca, AuditLog& audit);

 private:
  void Compare();

  CaKeeper& ca_;
  AuditLog& audit_;
  std::vector<AuthorityInfo> known_;
};

}  // namespace lanyard
