// One fact for the record: who asked for what, what was decided, and why.
//
// A record is written as one JSON object a line; the log adds `seq`, `time`, `environment` and `prev_hash`. Absent
// fields are left out of the line. Nothing secret belongs in a record: no key, no token.
//
// Thread: any; a value.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"

namespace lanyard {

enum class AuditKind {
  kAgent,       // "agent": the node agent started or stopped
  kIssue,       // "issue": a certificate was signed and will be handed out
  kIssueJwt,    // "issue_jwt": the same for a JWT-SVID; serial is its token ID, authority the ID of its key
  kIssueWit,    // "issue_wit": the same for a WIT-SVID
  kFetch,       // "fetch": a workload asked; allowed (one record per identity) or denied
  kRelease,     // "release": a stream that had been handed identities is over
  kCa,          // "ca": an authority was prepared, began to sign, was retired or removed
  kRegistry,    // "registry": other entries are in force, or a file is broken
  kFederation,  // "federation": another bundle of a foreign trust domain is in force, or none any more
  kConfig,      // "config": the configuration was read again
  kAdmin,       // "admin": a call on the admin socket
  kAudit,       // "audit": the log itself: set aside, rotated, removed, records lost
  kCheckpoint,  // "checkpoint": a signature over all lines before
};
std::string_view AuditKindName(AuditKind kind);
bool IsIssueKind(std::string_view name);  // of one of those that say what was signed

enum class AuditDecision { kNone, kAllow, kDeny };  // kNone: nothing was decided; the field is left out

struct AuditCaller {
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<std::string> selectors;
};

struct AuditPolicy {
  std::string engine;    // "registry"
  std::string revision;  // which version of it decided
};

struct AuditRecord {
  AuditKind kind = AuditKind::kAgent;
  AuditDecision decision = AuditDecision::kNone;
  std::string reason;                 // for people
  std::vector<std::string> nearly{};  // entries that a caller who is denied nearly earned, and what it lacks
  std::optional<AuditCaller> caller{};
  std::string spiffe_id{};
  std::string task{};
  std::string owner{};
  std::string tool{};
  std::string action{};
  std::string resource{};
  std::string serial{};
  std::string authority{};  // subject key identifier of the signer, lower-case hex; of a token its key ID
  std::optional<WallTime> not_after{};
  std::optional<AuditPolicy> policy{};
  std::string correlation_id{};
  uint64_t count = 1;  // of equal events that this record stands for; written when it is not 1
};

}  // namespace lanyard
