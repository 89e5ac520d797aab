// The agent's parts as monitoring sees them, with numbers that a test sets.
#pragma once

#include <string>
#include <vector>

#include "node_agent/audit/audit_log.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/rpc/server.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

struct ShownCa : CaKeeper {
  IdentitySource& source() override { std::abort(); }
  void Rotate(Done) override {}
  void Reload() override {}
  std::vector<AuthorityInfo> Show() const override { return authorities; }
  HealthReport health() const override { return report; }

  std::vector<AuthorityInfo> authorities;
  HealthReport report;
};

struct ShownServer : RpcServer {
  void Shutdown(Deadline, absl::AnyInvocable<void()>) override {}
  RpcServerStats stats() const override { return shown; }

  RpcServerStats shown;
};

struct ShownState : StateStore {
  void RecordIssued(IssuedSerial, Done) override {}
  void SaveAuditHead(AuditHead) override {}
  void Flush(Done) override {}
  StateStats stats() const override { return shown; }
  const Histogram& commit_seconds() const override { return times; }
  HealthReport health() const override { return report; }

  StateStats shown;
  Histogram times{LatencyBuckets()};
  HealthReport report;
};

struct ShownAudit : AuditLog {
  void Append(AuditRecord, Done, AuditSpace) override {}
  void Seal(Done) override {}
  void OnHead(HeadListener) override {}
  std::unique_ptr<Tail> Follow(size_t, LineListener, Done) override { return nullptr; }
  void SetOptions(AuditOptions) override {}
  const std::vector<IssuedSerial>& issued_after_stored_head() const { return issued; }
  AuditStats stats() const override { return shown; }
  const Histogram& write_seconds() const override { return times; }
  HealthReport health() const override { return report; }

  AuditStats shown;
  std::vector<IssuedSerial> issued;
  Histogram times{LatencyBuckets()};
  HealthReport report;
};

}  // namespace lanyard
