#include "node_agent/audit/audit_record.h"

namespace lanyard {

std::string_view AuditKindName(AuditKind kind) {
  switch (kind) {
    case AuditKind::kAgent:
      return "agent";
    case AuditKind::kIssue:
      return "issue";
    case AuditKind::kIssueJwt:
      return "issue_jwt";
    case AuditKind::kIssueWit:
      return "issue_wit";
    case AuditKind::kFetch:
      return "fetch";
    case AuditKind::kRelease:
      return "release";
    case AuditKind::kCa:
      return "ca";
    case AuditKind::kRegistry:
      return "registry";
    case AuditKind::kFederation:
      return "federation";
    case AuditKind::kConfig:
      return "config";
    case AuditKind::kAdmin:
      return "admin";
    case AuditKind::kAudit:
      return "audit";
    case AuditKind::kCheckpoint:
      break;
  }
  return "checkpoint";
}

bool IsIssueKind(std::string_view name) {
  return name == AuditKindName(AuditKind::kIssue) || name == AuditKindName(AuditKind::kIssueJwt) ||
         name == AuditKindName(AuditKind::kIssueWit);
}

}  // namespace lanyard
