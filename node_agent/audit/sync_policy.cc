#include "node_agent/audit/sync_policy.h"

namespace lanyard {

std::string_view SyncPolicyName(SyncPolicy policy) {
  switch (policy) {
    case SyncPolicy::kEveryBatch:
      return "batch";
    case SyncPolicy::kIssues:
      return "issue";
    case SyncPolicy::kEverySecond:
      return "second";
  }
  return "";
}

Result<SyncPolicy> ParseSyncPolicy(std::string_view name) {
  for (const SyncPolicy policy : {SyncPolicy::kEveryBatch, SyncPolicy::kIssues, SyncPolicy::kEverySecond}) {
    if (name == SyncPolicyName(policy)) return policy;
  }
  return Error(StatusCode::kInvalidArgument, "unknown sync \"{}\"; valid are batch, issue and second", name);
}

bool WaitsForTheDisk(SyncPolicy policy, AuditKind kind) {
  switch (policy) {
    case SyncPolicy::kEveryBatch:
      return true;
    case SyncPolicy::kIssues:
      // Its issue is there, and a workload on a host that has lost its power has lost the key as well.
      return kind != AuditKind::kFetch;
    case SyncPolicy::kEverySecond:
      return false;
  }
  return true;
}

}  // namespace lanyard
