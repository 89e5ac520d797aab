#include "node_agent/app/agent.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <memory>
#include <optional>
#include <random>

#include "attestors/attestation.h"
#include "attestors/host_tools.h"
#include "attestors/process_attestor.h"
#include "attestors/unix_attestor.h"
#include "node_agent/admin/admin_service.h"
#include "node_agent/admin/admission.h"
#include "node_agent/app/agent_health.h"
#include "node_agent/app/config.h"
#include "node_agent/app/version.h"
#include "node_agent/base/event_loop.h"
#include "node_agent/base/log.h"
#include "node_agent/base/signals.h"
#include "node_agent/identity/ca_keeper.h"
#include "node_agent/state/data_dir_lock.h"
#include "node_agent/rpc/health.h"
#include "node_agent/rpc/reflection.h"
#include "node_agent/rpc/server.h"
#include "workload_api/workload_service.h"

namespace lanyard {
namespace {

constexpr std::chrono::seconds kDrainTime{3};

// No core dump and no debugger of the same uid sees the keys in our memory.
void ProtectProcess() {
  prctl(PR_SET_DUMPABLE, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGPIPE, SIG_IGN);
}

// Hashing and name lookups may hang in their threads; signing shares the pool and must find one free. Before the pool's
// first use.
void SizeThreadPool() {
  setenv("UV_THREADPOOL_SIZE", "8", /*overwrite=*/0);
}

SvidCacheOptions ToCacheOptions(const Config& config) {
  return {.default_ttl = config.svid.x509_ttl, .default_key_type = config.svid.key_type};
}

std::vector<std::unique_ptr<Attestor>> MakeAttestors(const Config& config, HostTools& tools) {
  std::vector<std::unique_ptr<Attestor>> attestors;
  attestors.push_back(MakeUnixAttestor({.executable = config.attestors.unix_executable}, tools));
  attestors.push_back(MakeProcessAttestor({}, tools));
  return attestors;
}

SvidCache::Random MakeRandom() {
  auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0, 1)(*engine); };
}

// Everything that lives as long as the agent serves, in the order in which it needs each other.
class Agent {
 public:
  static Result<std::unique_ptr<Agent>> Start(const std::string& config_path, Config config, EventLoop& loop,
                                              Clock& clock);

  // Ends the servers within kDrainTime, then the loop.
  void Drain();
  void Reload();

 private:
  Agent(std::string config_path, Config config, DataDirLock lock, PeerResources resources, std::unique_ptr<CaKeeper> ca,
        std::unique_ptr<RegistryStore> registry, EventLoop& loop, Clock& clock);

  Status ServeWorkloads();
  Status ServeAdmin();
  void OnConfig(const Result<Config>& config);
  std::vector<HealthFinding> Findings() const {
    return CollectFindings({*registry_, *ca_, svids_, workload_server_.get()});
  }

  const std::string config_path_;
  Config config_;
  EventLoop& loop_;
  Clock& clock_;
  const MonoTime started_;
  DataDirLock lock_;
  PeerResources resources_;
  std::unique_ptr<CaKeeper> ca_;
  std::unique_ptr<RegistryStore> registry_;
  HostTools tools_;
  AttestorSet attestors_;
  SvidCache svids_;
  UpdateHub hub_;
  DenialLog denials_;
  WorkloadServices workload_;
  HealthService health_;
  AdminServices admin_;
  std::unique_ptr<RpcServer> workload_server_;
  std::unique_ptr<RpcServer> admin_server_;
  bool draining_ = false;
};

Agent::Agent(std::string config_path, Config config, DataDirLock lock, PeerResources resources,
             std::unique_ptr<CaKeeper> ca, std::unique_ptr<RegistryStore> registry, EventLoop& loop, Clock& clock)
    : config_path_(std::move(config_path)),
      config_(std::move(config)),
      loop_(loop),
      clock_(clock),
      started_(clock.MonoNow()),
      lock_(std::move(lock)),
      resources_(std::move(resources)),
      ca_(std::move(ca)),
      registry_(std::move(registry)),
      tools_(loop, clock),
      attestors_(loop, clock, MakeAttestors(config_, tools_)),
      svids_(ca_->source(), loop, clock, ToCacheOptions(config_), MakeRandom()),
      hub_(svids_, ca_->source(), clock),
      denials_(clock),
      workload_{.caller = {.attestors = attestors_,
                           .registry = *registry_,
                           .clock = clock,
                           .denials = denials_,
                           .attestation_timeout = config_.limits.attestation_timeout},
                .svids = svids_,
                .source = ca_->source(),
                .hub = hub_,
                .responses = ResponseShare(clock)},
      health_({"SpiffeWorkloadAPI"},
              [this](std::string_view) {
                return ca_->source().health().level == HealthLevel::kBroken ? ServingStatus::kNotServing
                                                                            : ServingStatus::kServing;
              }),
      admin_{.facts = {.version = std::string(kVersion),
                       .trust_domain = config_.trust_domain.name(),
                       .environment = std::string(EnvironmentName(config_.environment))},
             .findings = [this] { return Findings(); },
             .uptime = [this] { return std::chrono::duration_cast<std::chrono::seconds>(clock_.MonoNow() - started_); },
             .ca = *ca_,
             .registry = *registry_} {
  registry_->OnChange([this] {
    LANYARD_LOG_INFO("registry changed: {} entries", registry_->registry()->size());
    hub_.NotifyRegistry();
  });
}

Result<std::unique_ptr<Agent>> Agent::Start(const std::string& config_path, Config config, EventLoop& loop,
                                            Clock& clock) {
  ASSIGN_OR_RETURN(PeerResources resources, PeerResources::Reserve());
  ASSIGN_OR_RETURN(DataDirLock lock, DataDirLock::Acquire(config.data_dir));
  ASSIGN_OR_RETURN(auto ca, MakeEmbeddedCa(CaOptionsOf(config), lock, loop, clock));
  ASSIGN_OR_RETURN(
      auto registry,
      RegistryStore::Open(loop, clock, {.trust_domain = config.trust_domain, .paths = config.registry_paths}));
  for (const std::string& warning : registry->warnings()) LANYARD_LOG_WARN("registry: {}", warning);

  std::unique_ptr<Agent> agent(new Agent(config_path, std::move(config), std::move(lock), std::move(resources),
                                         std::move(ca), std::move(registry), loop, clock));
  RETURN_IF_ERROR(agent->ServeAdmin());
  RETURN_IF_ERROR(agent->ServeWorkloads());
  LANYARD_LOG_INFO("serving trust domain {} on {} ({} entries), operators on {}", agent->config_.trust_domain.name(),
                   agent->config_.workload_socket.path, agent->registry_->registry()->size(),
                   agent->config_.admin_socket.path);
  for (const HealthFinding& finding : agent->Findings())
    LANYARD_LOG_WARN("{}: {}; {}", finding.component, finding.text, finding.remedy);
  return agent;
}

Status Agent::ServeWorkloads() {
  Methods methods = WorkloadMethods(workload_);
  health_.AddTo(methods);
  RETURN_IF_ERROR(AddReflection(methods, {"SpiffeWorkloadAPI", "grpc.health.v1.Health"}));
  RpcServerOptions options{
      .socket = {.path = config_.workload_socket.path, .mode = config_.workload_socket.mode},
      .listener = {.name = "workload", .max_connections_per_uid = config_.limits.connections_per_uid}};
  ASSIGN_OR_RETURN(workload_server_,
                   RpcServer::Start(loop_, clock_, resources_, std::move(options), std::move(methods)));
  return OkStatus();
}

Status Agent::ServeAdmin() {
  AdminAdmission admission{.pid_namespaces = config_.admin_socket.other_pid_namespaces
                                                 ? AdminAdmission::PidNamespaces::kAny
                                                 : AdminAdmission::PidNamespaces::kOwnOnly};
  if (!config_.admin_socket.group.empty()) {
    ASSIGN_OR_RETURN(admission.group, FindGroup(config_.admin_socket.group));
  }
  RpcServerOptions options{
      .socket = {.path = config_.admin_socket.path,
                 .mode = config_.admin_socket.mode,
                 .group = admission.group,
                 .directory_mode = config_.admin_socket.directory_mode()},
      .listener = {.name = "admin",
                   .max_connections = 32,
                   .max_connections_per_uid = 32,
                   .admit = [admission](const PeerProcess& peer) { return admission.Check(peer); }}};
  ASSIGN_OR_RETURN(admin_server_,
                   RpcServer::Start(loop_, clock_, resources_, std::move(options), AdminMethods(admin_)));
  return OkStatus();
}

void Agent::Reload() {
  LANYARD_LOG_INFO("reloading configuration, registry and given CA files");
  sd_notify(0, "RELOADING=1");
  registry_->Reload([](const Status& status) {
    if (!status.ok()) LANYARD_LOG_ERROR("registry reload: {}", Message(status));
    sd_notify(0, "READY=1");
  });
  ca_->Reload();
  loop_.ComputeInPool([path = config_path_] { return LoadConfig(path); },
                      [this](const Result<Config>& config) { OnConfig(config); });
}

void Agent::OnConfig(const Result<Config>& config) {
  if (!config.ok()) {
    for (const std::string& line : ErrorLines(config.status()))
      LANYARD_LOG_ERROR("configuration kept as it was: {}", line);
    return;
  }
  SetLogLevel(config->log.level);
  svids_.SetOptions(ToCacheOptions(*config));
  LANYARD_LOG_INFO("log level and svid defaults are in force; other settings take a restart");
}

void Agent::Drain() {
  if (std::exchange(draining_, true)) return;
  LANYARD_LOG_INFO("stopping");
  sd_notify(0, "STOPPING=1");
  const Deadline deadline = clock_.MonoNow() + kDrainTime;
  workload_server_->Shutdown(deadline,
                             [this, deadline] { admin_server_->Shutdown(deadline, [this] { loop_.Stop(); }); });
}

}  // namespace

int RunAgent(const std::string& config_path) {
  ProtectProcess();
  SizeThreadPool();
  Result<Config> config = LoadConfig(config_path);
  for (const std::string& line : ErrorLines(config.status())) LANYARD_LOG_ERROR("configuration: {}", line);
  if (!config.ok()) return 1;
  StartLogging(config->log.level, config->log.format);

  EventLoop loop;
  std::unique_ptr<Clock> clock = MakeSystemClock(loop);
  auto agent = Agent::Start(config_path, *std::move(config), loop, *clock);
  if (!agent.ok()) {
    LANYARD_LOG_ERROR("cannot start: {}", Message(agent.status()));
    return 1;
  }
  auto signals = WatchSignals(loop, {SIGTERM, SIGINT, SIGHUP}, [&](int signal) {
    if (signal == SIGHUP) return (*agent)->Reload();
    (*agent)->Drain();
  });
  if (!signals.ok()) {
    LANYARD_LOG_ERROR("cannot start: {}", Message(signals.status()));
    return 1;
  }
  sd_notify(0, "READY=1");
  loop.Run();
  signals->reset();
  agent->reset();
  LANYARD_LOG_INFO("stopped");
  // A pool thread may hang on a file system that a caller controls; the loop's destructor would wait for it.
  if (loop.HasPendingWork()) _exit(0);
  return 0;
}

}  // namespace lanyard
