// The operator's API (lanyard.admin.v1) on the admin socket.
//
// Who may ask is decided before any call arrives (admission.h); here everybody may ask everything. Nothing that is
// answered is secret. Every call is put on record. What changes who signs waits for that and is refused without it;
// the others are answered also when nothing can be written, since they are how an operator finds out why.
//
// Lifetime: borrows what it is given and outlives the server that has its methods. Thread: loop.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "node_agent/admin/attest_process.h"
#include "node_agent/audit/audit_log.h"
#include "node_agent/base/health.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/call.h"

namespace lanyard {

// One thing that is wrong, and what to do about it.
struct HealthFinding {
  std::string component;  // "registry", "identity_source", "attestors", …
  HealthLevel level = HealthLevel::kDegraded;
  std::string text;
  std::string remedy;
};

struct AgentFacts {
  std::string version;
  std::string trust_domain;
  std::string environment;
};

struct AdminServices {
  AgentFacts facts;
  std::function<std::vector<HealthFinding>()> findings;  // worst first
  std::function<std::chrono::seconds()> uptime;
  CaKeeper& ca;
  const RegistryStore& registry;
  AuditLog& audit;
  AttestServices attest;
};

Methods AdminMethods(AdminServices& services);

// What is put on record of a call on the admin socket.
AuditRecord AdminRecord(const PeerProcess& peer, std::string_view method, AuditDecision decision);

}  // namespace lanyard
