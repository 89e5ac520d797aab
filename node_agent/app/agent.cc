#include "node_agent/app/agent.h"

#include <algorithm>
#include <random>
#include <utility>

#include "attestors/containerd_attestor.h"
#include "attestors/docker_attestor.h"
#include "attestors/kubernetes_attestor.h"
#include "attestors/process_attestor.h"
#include "attestors/systemd_attestor.h"
#include "attestors/unix_attestor.h"
#include "node_agent/admin/admission.h"
#include "node_agent/app/attestor_check.h"
#include "node_agent/app/config_oidc.h"
#include "node_agent/app/federation_check.h"
#include "node_agent/app/version.h"
#include "node_agent/base/log.h"
#include "node_agent/rpc/reflection.h"

namespace lanyard {
namespace {

constexpr unsigned kOperators = 32;  // connections to the admin socket
// Of one caller, admitted or not: nobody alone can keep operators out.
constexpr unsigned kOfOneOperator = 24;

std::vector<std::unique_ptr<Attestor>> MakeAttestors(const Config& config, HostTools& tools, Clock& clock) {
  std::vector<std::unique_ptr<Attestor>> attestors;
  attestors.push_back(MakeUnixAttestor({.executable = config.attestors.unix_executable}, tools));
  attestors.push_back(MakeProcessAttestor({}, tools));
  if (config.attestors.systemd) attestors.push_back(MakeSystemdAttestor(*config.attestors.systemd, tools.loop, clock));
  if (config.attestors.docker) attestors.push_back(MakeDockerAttestor(*config.attestors.docker, tools, clock));
  if (config.attestors.containerd)
    attestors.push_back(MakeContainerdAttestor(*config.attestors.containerd, tools, clock));
  if (config.attestors.kubernetes)
    attestors.push_back(MakeKubernetesAttestor(*config.attestors.kubernetes, tools, clock));
  return attestors;
}

}  // namespace

Agent::Agent(std::string config_path, Config config, Opened opened, ServiceManager& manager, EventLoop& loop,
             Clock& clock)
    : config_path_(std::move(config_path)),
      config_(std::move(config)),
      manager_(manager),
      loop_(loop),
      clock_(clock),
      started_(clock.MonoNow()),
      started_wall_(clock.WallNow()),
      lock_(std::move(opened.lock)),
      resources_(std::move(opened.resources)),
      state_(std::move(opened.state)),
      audit_(std::move(opened.audit)),
      ca_(std::move(opened.ca)),
      authority_at_start_(opened.authority_at_start),
      registry_(std::move(opened.registry)),
      foreign_(std::move(opened.foreign)),
      ca_record_(*ca_, *audit_),
      crls_(std::move(opened.crls)),
      source_(ca_->source(), *state_, *audit_, clock),
      tools_(loop, clock),
      caller_cgroups_(tools_.mounts),
      attestors_(loop, clock, MakeAttestors(config_, tools_, clock)),
      svids_(source_, loop, clock, SvidOptionsOf(config_), MakeRandom()),
      wits_(source_, loop, clock, SvidOptionsOf(config_), MakeRandom()),
      jwts_(source_, loop, clock, JwtOptionsOf(config_), MakeRandom()),
      hub_(svids_, wits_, source_, clock),
      access_(*audit_, clock),
      workload_{.caller = {.attestors = attestors_,
                           .registry = *registry_,
                           .clock = clock,
                           .access = access_,
                           .attestation_timeout = config_.limits.attestation_timeout,
                           .reattestation_interval = config_.limits.reattestation_interval,
                           .identities = IdentityLimits(clock, config_.limits.per_identity)},
                .svids = svids_,
                .wits = wits_,
                .jwts = jwts_,
                .source = source_,
                .crls = *crls_,
                .foreign = *foreign_,
                .hub = hub_,
                .loop = loop,
                .responses = ResponseShare(clock)},
      health_({"SpiffeWorkloadAPI"},
              [this](std::string_view) {
                return IsReady(ReadinessNow()) ? ServingStatus::kServing : ServingStatus::kNotServing;
              }),
      admin_{.facts = {.version = std::string(kVersion),
                       .trust_domain = config_.trust_domain.name(),
                       .environment = std::string(EnvironmentName(config_.environment))},
             .findings = [this] { return Findings(); },
             .uptime = [this] { return std::chrono::duration_cast<std::chrono::seconds>(clock_.MonoNow() - started_); },
             .ca = *ca_,
             .registry = *registry_,
             .audit = *audit_,
             .attest = {.attestors = attestors_,
                        .registry = *registry_,
                        .clock = clock,
                        .timeout = workload_.caller.attestation_timeout}},
      loop_delay_(clock) {
  crls_->OnChange([this] { hub_.NotifyCrls(); });
  registry_->OnChange([this] {
    LANYARD_LOG_INFO("registry changed: {} entries", registry_->registry()->size());
    RecordRegistry();
    WarnOfRegistry();
    hub_.NotifyRegistry();
  });
  foreign_->OnChange([this](const std::vector<TrustDomain>& changed) {
    RecordForeign(changed);
    hub_.NotifyBundles();
  });
}

Result<Agent::Opened> Agent::Open(const Config& config, EventLoop& loop, Clock& clock) {
  if (config.attestors.docker) RETURN_IF_ERROR(CheckDockerAttestor());
  if (config.attestors.kubernetes) RETURN_IF_ERROR(CheckKubernetesAttestor());
  ASSIGN_OR_RETURN(PeerResources resources, PeerResources::Reserve());
  ASSIGN_OR_RETURN(DataDirLock lock, DataDirLock::Acquire(config.data_dir));
  ASSIGN_OR_RETURN(auto state, SqliteStore::Open(lock, {}, loop, clock));
  AuditOptions audit_options = AuditOptionsOf(config);
  audit_options.stored_head = state->audit_head_at_start();
  ASSIGN_OR_RETURN(auto audit, AuditLog::Open(std::move(audit_options), loop, clock));
  audit->OnHead([&state = *state](const AuditHead& head) { state.SaveAuditHead(head); });
  // What was on record but did not reach the store before the last run ended.
  for (const IssuedSerial& issued : audit->issued_after_stored_head()) {
    state->RecordIssued(issued, [](const Status& status) {
      if (!status.ok()) LANYARD_LOG_ERROR("put a serial from the audit log back into the state: {}", Message(status));
    });
  }
  ASSIGN_OR_RETURN(auto ca, MakeEmbeddedCa(CaOptionsOf(config), lock, loop, clock));
  const auto authority = ca->made_anew() && !state->made_anew() ? AuthorityAtStart::kMissing : AuthorityAtStart::kThere;
  CrlOptions crl_options;
  if (config.embedded_ca.given) crl_options.issuer_root_crl = config.embedded_ca.given->issuer_root_crl;
  ASSIGN_OR_RETURN(auto crls, CrlKeeper::Start(
                                  std::move(crl_options), ca->source(), [&ca = *ca] { return ca.issuers(); },
                                  state->revocations_at_start(), *state, loop, clock));
  ASSIGN_OR_RETURN(
      auto registry,
      RegistryStore::Open(loop, clock, {.trust_domain = config.trust_domain, .paths = config.registry_paths}));
  ASSIGN_OR_RETURN(auto foreign, ForeignBundles::Open(loop, clock, config.federation.trust_domains));
  return Opened{.resources = std::move(resources),
                .lock = std::move(lock),
                .state = std::move(state),
                .audit = std::move(audit),
                .ca = std::move(ca),
                .authority_at_start = authority,
                .crls = std::move(crls),
                .registry = std::move(registry),
                .foreign = std::move(foreign)};
}

Result<std::unique_ptr<Agent>> Agent::Start(const std::string& config_path, Config config, ServiceManager& manager,
                                            EventLoop& loop, Clock& clock) {
  ASSIGN_OR_RETURN(Opened opened, Open(config, loop, clock));
  std::unique_ptr<Agent> agent(new Agent(config_path, std::move(config), std::move(opened), manager, loop, clock));
  agent->audit_->Append(
      {.kind = AuditKind::kAgent,
       .reason = fmt::format("lanyard {} started for trust domain {}", kVersion, agent->config_.trust_domain.name()),
       .action = "start"},
      nullptr, AuditSpace::kReserve);
  agent->RecordRegistry();
  std::vector<TrustDomain> foreign;
  for (const auto& [trust_domain, bundle] : agent->foreign_->bundles()->all()) foreign.push_back(trust_domain);
  agent->RecordForeign(foreign);
  agent->WarnOfRegistry();
  RETURN_IF_ERROR(agent->Serve());
  return agent;
}

Status Agent::Serve() {
  // First: under a wrong name the socket looks as if another process had our path.
  RETURN_IF_ERROR(manager_.CheckNames({"workload", "admin"}));
  ASSIGN_OR_RETURN(rpc_, RpcEngine::Start(loop_, clock_));
  RETURN_IF_ERROR(ServeAdmin());
  RETURN_IF_ERROR(ServeEndpoints());
  RETURN_IF_ERROR(ServeWorkloads());
  WatchReadiness();
  LANYARD_LOG_INFO("serving trust domain {} on {} ({} entries), operators on {}", config_.trust_domain.name(),
                   config_.workload_socket.path, registry_->registry()->size(), config_.admin_socket.path);
  for (const HealthFinding& finding : Findings()) {
    const std::string line = fmt::format("{}: {}; {}", finding.component, finding.text, finding.remedy);
    if (finding.level == HealthLevel::kGood) {
      LANYARD_LOG_INFO("{}", line);
    } else {
      LANYARD_LOG_WARN("{}", line);
    }
  }
  return OkStatus();
}

void Agent::RecordRegistry() {
  const auto registry = registry_->registry();
  audit_->Append({.kind = AuditKind::kRegistry,
                  .reason = fmt::format("{} registration entries are in force", registry->size()),
                  .action = "load",
                  .policy = AuditPolicy{.engine = "registry", .revision = registry->revision()}});
}

void Agent::RecordForeign(const std::vector<TrustDomain>& changed) {
  const std::shared_ptr<const BundleSet> bundles = foreign_->bundles();
  for (const TrustDomain& trust_domain : changed) {
    AuditRecord record{.kind = AuditKind::kFederation,
                       .reason = "it is not configured any more: nothing of it is believed",
                       .action = "remove",
                       .resource = trust_domain.id()};
    if (const Bundle* bundle = bundles->Find(trust_domain)) {
      record.reason = fmt::format("{} X.509 authorities are believed for it", bundle->x509_authorities().size());
      record.action = "load";
      record.policy = AuditPolicy{.engine = "bundle", .revision = foreign_->DigestOf(trust_domain)};
    }
    audit_->Append(std::move(record));
  }
}

void Agent::WarnOfRegistry() {
  const Registry& registry = *registry_->registry();
  std::vector<std::string> lines = UnknownFederation(registry, config_.federation.trust_domains);
  std::ranges::move(UnattestedEntries(registry, config_.attestors), std::back_inserter(lines));
  const auto before = std::exchange(registry_warnings_, std::move(lines));
  for (const std::string& line : registry_warnings_) {
    if (std::find(before.begin(), before.end(), line) == before.end()) LANYARD_LOG_WARN("registry: {}", line);
  }
}

Status Agent::ServeWorkloads() {
  Methods methods = WorkloadMethods(workload_);
  health_.AddTo(methods);
  RETURN_IF_ERROR(AddReflection(methods, {"SpiffeWorkloadAPI", "grpc.health.v1.Health"}));
  RpcServerOptions options{
      .socket = {.path = config_.workload_socket.path, .mode = config_.workload_socket.mode},
      .listener = {.name = "workload",
                   .account_of = [this](const PeerProcess& peer) { return caller_cgroups_.AccountOf(peer); },
                   .on_refused =
                       [this](const PeerProcess& peer, const Account& account, const Status& why) {
                         RecordAboveLimit(peer, account, config_.workload_socket.path, why);
                       }},
      .limits = config_.limits.per_caller,
      .on_refused = [this](const Call& call, const Status& why) {
        RecordAboveLimit(call.connection()->peer, *call.connection()->account, std::string(call.method()), why);
      }};
  if (auto fd = manager_.TakeSocket("workload")) options.socket.inherited = *std::move(fd);
  ASSIGN_OR_RETURN(workload_server_,
                   RpcServer::Start(loop_, clock_, resources_, *rpc_, std::move(options), std::move(methods)));
  return OkStatus();
}

void Agent::RecordAboveLimit(const PeerProcess& peer, const Account& account, std::string resource, const Status& why) {
  AuditRecord record{.kind = AuditKind::kFetch,
                     .caller = AuditCaller{.pid = peer.process->pid(), .uid = peer.uid, .selectors = {}},
                     .resource = std::move(resource)};
  access_.Refuse(std::move(record), why, account.name.own);
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
                   .max_connections = kOperators,
                   // A container's root is not on the account of the host's.
                   .account_of = [this](const PeerProcess& peer) { return caller_cgroups_.AccountOf(peer); },
                   .admit =
                       [this, admission](const PeerProcess& peer) {
                         Status admitted = admission.Check(peer);
                         if (!admitted.ok()) {
                           AuditRecord record = AdminRecord(peer, "connect", AuditDecision::kDeny);
                           record.resource = config_.admin_socket.path;
                           access_.Refuse(std::move(record), admitted, "");
                         }
                         return admitted;
                       }},
      .limits = {.connections = kOfOneOperator}};
  if (auto fd = manager_.TakeSocket("admin")) options.socket.inherited = *std::move(fd);
  ASSIGN_OR_RETURN(admin_server_,
                   RpcServer::Start(loop_, clock_, resources_, *rpc_, std::move(options), AdminMethods(admin_)));
  return OkStatus();
}

Status Agent::ServeEndpoints() {
  endpoints_.reset();  // its addresses may be asked for again
  bundle_endpoint_.reset();
  for (const std::string& line : OidcWarnings(config_)) LANYARD_LOG_WARN("{}", line);
  endpoints_ = AgentEndpoints::Start(
      loop_, {.metrics = config_.endpoints.metrics, .health = config_.endpoints.health},
      [this] { return MetricsPage(); }, [this] { return ReadinessNow(); });
  if (endpoints_->metrics() != nullptr) LANYARD_LOG_INFO("metrics on {}", endpoints_->metrics()->address().str());
  if (endpoints_->health() != nullptr) LANYARD_LOG_INFO("health on {}", endpoints_->health()->address().str());
  Status problem = endpoints_->problem();
  if (!config_.endpoints.bundle.address) return problem;
  auto bundle = BundleEndpoint::Start({loop_, clock_, svids_, source_, hub_},
                                      {.config = config_.endpoints.bundle,
                                       .trust_domain = config_.trust_domain,
                                       .oidc_issuer = config_.oidc.issuer,
                                       .sequence_file = config_.data_dir + "/bundle.sequence",
                                       .refresh_hint = RefreshHintFor(config_.embedded_ca.ca_ttl)});
  problem.Update(bundle.status());
  if (!bundle.ok()) return problem;
  bundle_endpoint_ = *std::move(bundle);
  LANYARD_LOG_INFO("bundle endpoint on {}", bundle_endpoint_->address().str());
  return problem;
}

}  // namespace lanyard
