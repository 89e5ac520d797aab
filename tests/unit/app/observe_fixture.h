// The agent's parts as monitoring sees them, with numbers that a test sets.
#pragma once

#include <string>
#include <vector>

#include "node_agent/identity/ca_keeper.h"
#include "node_agent/rpc/server.h"

namespace lanyard {

struct ShownCa : CaKeeper {
  IdentitySource& source() override { std::abort(); }
  std::vector<Issuer> issuers() const override { return {}; }
  void Rotate(Done) override {}
  void Reload() override {}
  std::vector<AuthorityInfo> Show() const override { return authorities; }
  HealthReport health() const override { return report; }

  std::vector<AuthorityInfo> authorities;
  HealthReport report;
};

struct ShownServer : RpcServer {
  void Shutdown(Deadline, absl::AnyInvocable<void()>) override {}
  void SetLimits(const CallerLimits&) override {}
  RpcServerStats stats() const override { return shown; }

  RpcServerStats shown;
};

}  // namespace lanyard
