// Health in words: what is wrong with the agent now, how bad it is, and what to do about it.
//
// Thread: loop.
#pragma once

#include <string>
#include <vector>

#include "attestors/attestation.h"
#include "node_agent/admin/admin_service.h"
#include "node_agent/audit/audit_log.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/identity/crl_keeper.h"
#include "node_agent/identity/foreign_bundles.h"
#include "node_agent/identity/recording_source.h"
#include "node_agent/identity/svid_cache.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/server.h"
#include "node_agent/state/state_store.h"
#include "workload_api/caller_services.h"

namespace lanyard {

// Was there an authority where one is to be expected?
enum class AuthorityAtStart { kThere, kMissing };

struct HealthSources {
  MonoTime now;
  const RegistryStore& registry;
  const ForeignBundles& foreign;
  CaKeeper& ca;
  AuthorityAtStart authority = AuthorityAtStart::kThere;
  const CrlKeeper& crls;
  const SvidCache& svids;
  const WitSvidCache& wits;
  const StateStore& state;
  const AuditLog& audit;
  const RecordingSource& record;
  const std::vector<std::string>& waiting_for_restart;  // keys of the configuration
  const std::vector<std::string>& broken_config;        // "file:line:column: …" of the last reload
  const Status& endpoints;
  const HealthReport bundle_endpoint;
  const RpcServer* workload;  // null until it serves
  const LookStats& looks;
  const AttestorSet& attestors;
};

// Worst first; empty when all is well.
std::vector<HealthFinding> CollectFindings(const HealthSources& sources);

}  // namespace lanyard
