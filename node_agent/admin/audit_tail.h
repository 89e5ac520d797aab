// TailAudit: the newest records of the audit log, and each new one as it is written.
//
// Lines go out in messages of bounded size, one at a time. What a slow reader has not taken waits, up to
// kMostWaitingBytes; beyond that the call ends with ResourceExhausted, and the log goes on.
//
// Thread: loop.
#pragma once

#include <memory>

#include "node_agent/audit/audit_log.h"
#include "node_agent/rpc/call.h"

namespace lanyard {

std::unique_ptr<CallHandler> MakeAuditTail(Call& call, AuditLog& audit);

}  // namespace lanyard
