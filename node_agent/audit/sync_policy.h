// Which records are on the disk before they are answered, and which may follow within a second.
//
// In the file they are all, whatever the policy: a kill of the process loses nothing that was answered. The policy says
// what a power cut may lose.
//
// Thread: any.
#pragma once

#include <string_view>

#include "node_agent/audit/audit_record.h"
#include "node_agent/base/status.h"

namespace lanyard {

enum class SyncPolicy {
  kEveryBatch,   // "batch": nothing that was answered
  kIssues,       // "issue": of who fetched what had been issued before, the last second
  kEverySecond,  // "second": the last second, but never a checkpoint
};

std::string_view SyncPolicyName(SyncPolicy policy);
Result<SyncPolicy> ParseSyncPolicy(std::string_view name);

// Must a record of this kind be on the disk before whoever waits for it is answered?
bool WaitsForTheDisk(SyncPolicy policy, AuditKind kind);

}  // namespace lanyard
