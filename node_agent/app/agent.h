// The node agent: everything built and wired together, in the order in which it needs each other.
//
// Start() opens what may fail (data directory, state, audit log, authority, registry), wires it, and serves. Nothing is
// served before its start is on record. Reload() takes over what can change at run time; Drain() ends it.
//
// Lifetime: borrows the service manager, the loop and the clock. Thread: loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "attestors/attestation.h"
#include "attestors/host_tools.h"
#include "node_agent/admin/admin_service.h"
#include "node_agent/app/agent_endpoints.h"
#include "node_agent/app/agent_health.h"
#include "node_agent/app/bundle_endpoint.h"
#include "node_agent/app/ca_record.h"
#include "node_agent/app/config.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/loop_delay.h"
#include "node_agent/base/service_manager.h"
#include "node_agent/identity/crl_keeper.h"
#include "node_agent/identity/foreign_bundles.h"
#include "node_agent/identity/recording_source.h"
#include "node_agent/rpc/caller_cgroup.h"
#include "node_agent/rpc/engine.h"
#include "node_agent/rpc/health.h"
#include "node_agent/rpc/server.h"
#include "node_agent/state/sqlite_store.h"
#include "workload_api/workload_service.h"

namespace lanyard {

class Agent {
 public:
  static Result<std::unique_ptr<Agent>> Start(const std::string& config_path, Config config, ServiceManager& manager,
                                              EventLoop& loop, Clock& clock);

  // Ends the servers within kDrainTime, writes what is left, and ends the loop.
  void Drain();
  void Reload();
  // False when the last writes did not come back in time: a disk hangs.
  bool all_written() const { return all_written_; }

 private:
  // What is opened before anything is wired, each step of which may fail.
  struct Opened {
    PeerResources resources;
    DataDirLock lock;
    std::unique_ptr<SqliteStore> state;
    std::unique_ptr<AuditLog> audit;
    std::unique_ptr<CaKeeper> ca;
    AuthorityAtStart authority_at_start = AuthorityAtStart::kThere;
    std::unique_ptr<CrlKeeper> crls;
    std::unique_ptr<RegistryStore> registry;
    std::unique_ptr<ForeignBundles> foreign;
  };
  static Result<Opened> Open(const Config& config, EventLoop& loop, Clock& clock);
  Agent(std::string config_path, Config config, Opened opened, ServiceManager& manager, EventLoop& loop, Clock& clock);

  Status Serve();
  void RecordRegistry();
  void RecordForeign(const std::vector<TrustDomain>& changed);
  // Says once what entries name in vain: attestors that are off, trust domains without a bundle.
  void WarnOfRegistry();
  Status ServeWorkloads();
  Status ServeAdmin();
  // Puts on record that somebody is above a limit, before it is known who that is.
  void RecordAboveLimit(const PeerProcess& peer, const Account& account, std::string resource, const Status& why);
  // What can be had; the first error where that is not all.
  Status ServeEndpoints();
  void ReadConfig();
  void OnConfig(const Result<Config>& config);
  // Makes what can be in force so; says what is and what is not.
  std::string TakeOver(const Config& config);
  void WriteTheLast();
  // What the agent shows of itself (agent_view.cc).
  std::vector<HealthFinding> Findings() const;
  Readiness ReadinessNow() const;
  WallTime RegistryGood() const;
  std::string MetricsPage() const;
  // Tells those who watch grpc.health.v1, and systemd, when readiness has changed.
  void WatchReadiness();

  const std::string config_path_;
  Config config_;
  ServiceManager& manager_;
  EventLoop& loop_;
  Clock& clock_;
  const MonoTime started_;
  const WallTime started_wall_;
  DataDirLock lock_;
  PeerResources resources_;
  std::unique_ptr<SqliteStore> state_;
  std::unique_ptr<AuditLog> audit_;
  std::unique_ptr<CaKeeper> ca_;
  const AuthorityAtStart authority_at_start_;
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<ForeignBundles> foreign_;
  CaRecord ca_record_;
  std::unique_ptr<CrlKeeper> crls_;
  RecordingSource source_;
  HostTools tools_;
  CallerCgroups caller_cgroups_;
  AttestorSet attestors_;
  SvidCache svids_;
  WitSvidCache wits_;
  JwtSvidCache jwts_;
  UpdateHub hub_;
  AccessLog access_;
  WorkloadServices workload_;
  HealthService health_;
  AdminServices admin_;
  std::unique_ptr<RpcEngine> rpc_;
  std::unique_ptr<RpcServer> workload_server_;
  std::unique_ptr<RpcServer> admin_server_;
  LoopDelay loop_delay_;
  std::unique_ptr<AgentEndpoints> endpoints_;
  std::unique_ptr<BundleEndpoint> bundle_endpoint_;  // null: not served
  Status endpoint_problem_;                          // of the last reload
  std::unique_ptr<Clock::Alarm> readiness_alarm_;
  bool ready_ = true;                             // as it was last told
  std::vector<std::string> waiting_for_restart_;  // keys of the configuration
  bool reading_config_ = false;
  bool read_config_again_ = false;
  std::vector<std::string> broken_config_;      // why the file of the last reload was not taken over
  std::vector<std::string> registry_warnings_;  // what was said last
  std::unique_ptr<Clock::Alarm> record_limit_;
  bool draining_ = false;
  bool all_written_ = false;
};

}  // namespace lanyard
