// The agent's page of metrics: every counter of its parts under one roof of names.
//
// Names begin with lanyard_ (process_ for what every process has), units are seconds and bytes, and labels come from
// small fixed sets: never an identity, a pid or a uid, which any workload could multiply. docs/METRICS.md lists them
// all, each with the alert that it is there for.
//
// Thread: loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "node_agent/audit/audit_log.h"
#include "node_agent/base/clock.h"
#include "node_agent/base/health.h"
#include "node_agent/base/loop_delay.h"
#include "node_agent/base/metrics.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/crl_keeper.h"
#include "node_agent/identity/foreign_bundles.h"
#include "node_agent/identity/svid_cache.h"
#include "node_agent/identity/update_hub.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/server.h"
#include "node_agent/state/state_store.h"
#include "workload_api/workload_service.h"

namespace lanyard {

// A null pointer or an empty optional: its metrics are left out.
struct MetricSources {
  std::string version;
  std::string environment;
  WallTime started;
  bool ready = false;
  std::map<std::string, HealthLevel> health;  // by component; those that are well too
  uint64_t denials = 0;                       // calls of workloads that were refused
  size_t unwritten_renewals = 0;              // handed on, but not yet on record
  const CallerServices* callers = nullptr;    // limits of identities, and attestations of open streams

  const RegistryStore* registry = nullptr;
  std::optional<WallTime> registry_good{};  // when the registry was last read without an error
  const ForeignBundles* foreign = nullptr;
  const CaKeeper* ca = nullptr;
  const CrlKeeper* crls = nullptr;
  const SvidCache* svids = nullptr;
  const WitSvidCache* wits = nullptr;
  const JwtSvidCache* jwts = nullptr;
  const ValidationStats* validations = nullptr;  // of tokens that callers had validated
  const UpdateHub* hub = nullptr;
  const RpcServer* workload = nullptr;
  const RpcServer* admin = nullptr;
  const StateStore* state = nullptr;
  const AuditLog* audit = nullptr;
  const LoopDelay* loop_delay = nullptr;
};

MetricPage CollectMetrics(const MetricSources& sources);

// The same as text. What could not be put on the page is logged.
std::string RenderMetrics(const MetricSources& sources);

}  // namespace lanyard
