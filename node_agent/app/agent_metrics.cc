#include "node_agent/app/agent_metrics.h"

#include "node_agent/app/process_usage.h"
#include "node_agent/base/log.h"

namespace lanyard {
namespace {

double Count(uint64_t value) {
  return static_cast<double>(value);
}

void AddAgent(MetricPage& page, const MetricSources& sources) {
  page.Gauge("lanyard_build_info", "Version and environment of the agent; always 1.", 1,
             {{"version", sources.version}, {"environment", sources.environment}});
  page.Gauge("lanyard_start_time_seconds", "When the agent started, in seconds since 1970.", sources.started);
  page.Gauge("lanyard_ready", "1 when /ready says so, otherwise 0.", sources.ready ? 1 : 0);
  for (const auto& [component, level] : sources.health) {
    page.Gauge("lanyard_health_level", "Health of a component: 0 good, 1 degraded, 2 failing.", static_cast<int>(level),
               {{"component", component}});
  }
  page.Counter("lanyard_denials_total", "Calls of workloads that were refused an identity.", Count(sources.denials));
  if (sources.loop_delay != nullptr) {
    page.Histogram("lanyard_loop_delay_seconds", "How late the agent's loop came to an alarm that is due each second.",
                   sources.loop_delay->seconds());
  }
}

void AddRegistry(MetricPage& page, const MetricSources& sources) {
  if (sources.registry != nullptr) {
    page.Gauge("lanyard_registry_entries", "Registration entries in force.",
               Count(sources.registry->registry()->size()));
    page.Counter("lanyard_registry_failed_loads_total", "Loads of the registry that found an error.",
                 Count(sources.registry->failed_loads()));
    page.Gauge("lanyard_registry_problems", "Broken files of the registry, and watches that could not be set.",
               Count(sources.registry->problems().size()));
  }
  if (sources.registry_good) {
    page.Gauge("lanyard_registry_last_good_load_timestamp_seconds",
               "When the registry was last read without an error, in seconds since 1970.", *sources.registry_good);
  }
}

void AddForeign(MetricPage& page, const ForeignBundles& foreign) {
  const ForeignBundles::Counts counts = foreign.counts();
  const auto trust_domains = [&page](const char* state, size_t count) {
    page.Gauge("lanyard_federation_trust_domains", "Foreign trust domains by the state of their bundle.", Count(count),
               {{"state", state}});
  };
  trust_domains("good", counts.good);
  trust_domains("stale", counts.stale);
  trust_domains("missing", counts.missing);
  page.Counter("lanyard_federation_failed_reads_total", "Reads of a foreign bundle's file that found it unusable.",
               Count(counts.failed_reads));
}

void AddCa(MetricPage& page, const CaKeeper& ca) {
  std::map<std::pair<SvidKind, AuthorityPhase>, int> counts;
  std::map<SvidKind, WallTime> not_after;
  for (const SvidKind kind : {SvidKind::kX509, SvidKind::kJwt, SvidKind::kWit}) {
    for (const auto phase : {AuthorityPhase::kPrepared, AuthorityPhase::kActive, AuthorityPhase::kRetired})
      counts[{kind, phase}] = 0;
  }
  for (const AuthorityInfo& authority : ca.Show()) {
    ++counts[{authority.kind, authority.phase}];
    if (authority.phase == AuthorityPhase::kActive) not_after[authority.kind] = authority.not_after;
  }
  for (const auto& [what, count] : counts) {
    page.Gauge(
        "lanyard_ca_authorities", "Signing authorities by kind of SVID and phase.", count,
        {{"kind", std::string(SvidKindName(what.first))}, {"phase", std::string(AuthorityPhaseName(what.second))}});
  }
  for (const auto& [kind, end] : not_after) {
    page.Gauge("lanyard_ca_active_not_after_timestamp_seconds",
               "When the authority that signs now expires, in seconds since 1970.", end,
               {{"kind", std::string(SvidKindName(kind))}});
  }
}

void AddCrls(MetricPage& page, const CrlKeeper& crls) {
  const CrlStats stats = crls.stats();
  page.Gauge("lanyard_crl_entries", "Unexpired certificates in the revocation lists of our authorities.",
             Count(stats.entries));
  if (stats.earliest_next_update) {
    page.Gauge("lanyard_crl_earliest_next_update_timestamp_seconds",
               "When the first of the revocation lists that are handed out ends, in seconds since 1970.",
               *stats.earliest_next_update);
  }
}

// Counts of issuances, as every cache has them.
template <class Stats>
void AddIssuances(MetricPage& page, SvidKind kind, const Stats& stats) {
  const auto issued = [&](const char* cause, const char* outcome, uint64_t value) {
    page.Counter("lanyard_svid_issuances_total", "Issuances of SVIDs by kind, cause and outcome.", Count(value),
                 {{"kind", std::string(SvidKindName(kind))}, {"cause", cause}, {"outcome", outcome}});
  };
  issued("new", "ok", stats.issued_new);
  issued("new", "error", stats.failed_new);
  issued("renewal", "ok", stats.issued_renewal);
  issued("renewal", "error", stats.failed_renewal);
}

void AddCacheSize(MetricPage& page, SvidKind kind, size_t size) {
  page.Gauge("lanyard_svid_cache_entries",
             "SVIDs that are kept, being made, or cannot be made: one for an entry, of JWT-SVIDs one for an entry and "
             "its audiences.",
             Count(size), {{"kind", std::string(SvidKindName(kind))}});
}

template <class Cache>
void AddSvids(MetricPage& page, SvidKind kind, const Cache& svids) {
  AddCacheSize(page, kind, svids.size());
  const SvidCacheStats stats = svids.stats();
  AddIssuances(page, kind, stats);
  const std::string name(SvidKindName(kind));
  page.Counter("lanyard_svids_expired_total", "SVIDs that expired before they could be renewed.", Count(stats.expired),
               {{"kind", name}});
  if (stats.earliest_not_after) {
    page.Gauge("lanyard_svid_earliest_not_after_timestamp_seconds",
               "When the first of the SVIDs that streams show expires unless renewed, in seconds since 1970.",
               *stats.earliest_not_after, {{"kind", name}});
  }
}

void AddJwts(MetricPage& page, const JwtSvidCache& jwts) {
  const JwtSvidCacheStats& stats = jwts.stats();
  AddCacheSize(page, SvidKind::kJwt, jwts.size());
  AddIssuances(page, SvidKind::kJwt, stats);
  page.Gauge("lanyard_jwt_svid_cache_bytes", "Size of the JWT-SVIDs that are kept.", Count(jwts.bytes()));
  page.Counter("lanyard_jwt_svid_cache_hits_total", "JWT-SVIDs that were answered without a signature.",
               Count(stats.hits + stats.shared));
  page.Counter("lanyard_jwt_svid_cache_evictions_total", "JWT-SVIDs thrown away while valid, to make room.",
               Count(stats.evicted));
}

void AddValidations(MetricPage& page, const ValidationStats& stats) {
  for (const auto& [outcome, count] : {std::pair{"valid", stats.valid}, std::pair{"refused", stats.refused}}) {
    page.Counter("lanyard_jwt_svid_validations_total", "Tokens that callers had validated, by outcome.", Count(count),
                 {{"outcome", outcome}});
  }
}

void AddServer(MetricPage& page, const std::string& socket, const RpcServer& server) {
  const RpcServerStats stats = server.stats();
  const ListenerStats& connections = stats.connections;
  page.Gauge("lanyard_connections_open", "Open connections.", Count(connections.open), {{"socket", socket}});
  page.Counter("lanyard_connections_accepted_total", "Connections that were accepted.", Count(connections.accepted),
               {{"socket", socket}});
  constexpr std::string_view kRefused =
      "Connections that were refused: peer (unknown, exited or not admitted) or limit.";
  page.Counter("lanyard_connections_refused_total", kRefused, Count(connections.refused_peer),
               {{"socket", socket}, {"reason", "peer"}});
  page.Counter("lanyard_connections_refused_total", kRefused,
               Count(connections.refused_limit + connections.refused_full), {{"socket", socket}, {"reason", "limit"}});
  constexpr std::string_view kEnded =
      "Connections that the agent ended: exit (of the process), silent (no call) or limit.";
  page.Counter("lanyard_connections_ended_total", kEnded, Count(connections.ended_exit),
               {{"socket", socket}, {"reason", "exit"}});
  page.Counter("lanyard_connections_ended_total", kEnded, Count(connections.ended_silent),
               {{"socket", socket}, {"reason", "silent"}});
  page.Counter("lanyard_connections_ended_total", kEnded, Count(connections.ended_limit),
               {{"socket", socket}, {"reason", "limit"}});
  for (size_t limit = 0; limit < kCallerLimitNames.size(); ++limit) {
    page.Counter("lanyard_limit_refusals_total", "Connections and calls that were refused above a limit of one caller.",
                 Count(stats.refused[limit]), {{"socket", socket}, {"limit", std::string(kCallerLimitNames[limit])}});
  }
  page.Gauge("lanyard_limit_accounts", "Callers (cgroups, or users) that limits are kept for.", Count(stats.accounts),
             {{"socket", socket}});
  page.Gauge("lanyard_calls_live", "Calls that are not over, streams included.", Count(stats.live_calls),
             {{"socket", socket}});
  page.Counter("lanyard_calls_total", "Calls that have come.", Count(stats.calls), {{"socket", socket}});
}

void AddAttestors(MetricPage& page, const AttestorSet& attestors) {
  for (const AttestorStats& stats : attestors.stats()) {
    for (const auto& [outcome, count] :
         {std::pair{"answered", stats.answered}, std::pair{"incomplete", stats.incomplete},
          std::pair{"failed", stats.failed}, std::pair{"late", stats.late}, std::pair{"spared", stats.spared}}) {
      page.Counter("lanyard_attestor_attempts_total", "Attempts of each attestor to find out about a process.",
                   Count(count), {{"attestor", stats.type}, {"outcome", outcome}});
    }
    page.Histogram("lanyard_attestor_seconds", "How long attempts take.", *stats.seconds, {{"attestor", stats.type}});
  }
}

void AddCallers(MetricPage& page, const CallerServices& callers) {
  AddAttestors(page, callers.attestors);
  for (size_t limit = 0; limit < kIdentityLimitNames.size(); ++limit) {
    page.Counter("lanyard_identity_limit_refusals_total", "Calls that were refused above a limit of one identity.",
                 Count(callers.identities.refused()[limit]), {{"limit", std::string(kIdentityLimitNames[limit])}});
  }
  const LookStats& looks = callers.look_stats;
  for (const auto& [outcome, count] : {std::pair{"same", looks.same}, std::pair{"changed", looks.changed},
                                       std::pair{"lost", looks.lost}, std::pair{"undetermined", looks.undetermined}}) {
    page.Counter("lanyard_reattestations_total", "Attestations of the callers of open streams, by outcome.",
                 Count(count), {{"outcome", outcome}});
  }
  page.Gauge("lanyard_streams_withheld",
             "Open streams that keep what they have without renewal, since it cannot be found out whether they may.",
             Count(looks.withheld));
}

void AddState(MetricPage& page, const StateStore& state) {
  const StateStats stats = state.stats();
  constexpr std::string_view kCommits = "Commits of the state store by outcome.";
  page.Counter("lanyard_state_commits_total", kCommits, Count(stats.commits), {{"outcome", "ok"}});
  page.Counter("lanyard_state_commits_total", kCommits, Count(stats.failed_commits), {{"outcome", "error"}});
  page.Counter("lanyard_state_writes_total", "Writes that were made durable.", Count(stats.writes));
  page.Gauge("lanyard_state_waiting", "Writes that are not answered yet.", Count(stats.waiting));
  page.Gauge("lanyard_state_bytes", "Size of the state store on disk.", Count(stats.bytes));
  if (stats.last_commit) {
    page.Gauge("lanyard_state_last_commit_timestamp_seconds", "When the last commit succeeded, in seconds since 1970.",
               *stats.last_commit);
  }
  page.Histogram("lanyard_state_commit_seconds", "How long commits take, fsync included.", state.commit_seconds());
}

void AddAudit(MetricPage& page, const AuditLog& audit) {
  const AuditStats stats = audit.stats();
  page.Counter("lanyard_audit_records_total", "Audit records written, checkpoints included.", Count(stats.records));
  page.Counter("lanyard_audit_lost_total", "Audit records that could not be written.", Count(stats.lost));
  page.Counter("lanyard_audit_failed_batches_total", "Batches of audit records that could not be written.",
               Count(stats.failed_batches));
  page.Counter("lanyard_audit_checkpoints_total", "Signed checkpoints written.", Count(stats.checkpoints));
  page.Gauge("lanyard_audit_waiting", "Audit records that are not answered yet.", Count(stats.waiting));
  page.Gauge("lanyard_audit_bytes", "Size of the current audit file.", Count(stats.bytes));
  if (stats.last_write) {
    page.Gauge("lanyard_audit_last_write_timestamp_seconds",
               "When the last batch of audit records was written, in seconds since 1970.", *stats.last_write);
  }
  if (stats.last_checkpoint) {
    page.Gauge("lanyard_audit_last_checkpoint_timestamp_seconds",
               "When the last checkpoint was written, in seconds since 1970.", *stats.last_checkpoint);
  }
  page.Histogram("lanyard_audit_write_seconds", "How long writes take: batches, and syncs put off.",
                 audit.write_seconds());
}

void AddProcess(MetricPage& page) {
  const Result<ProcessUsage> usage = ReadProcessUsage();
  if (!usage.ok()) {
    LANYARD_LOG_WARN("metrics of the process: {}", Message(usage.status()));
    return;
  }
  page.Counter("process_cpu_seconds_total", "User and system time of the agent.", usage->cpu.count());
  page.Gauge("process_resident_memory_bytes", "Resident memory of the agent.", Count(usage->resident_bytes));
  page.Gauge("process_virtual_memory_bytes", "Virtual memory of the agent.", Count(usage->virtual_bytes));
  page.Gauge("process_threads", "Threads of the agent.", Count(usage->threads));
  const ProcessUsage& now = *usage;
  if (now.open_fds) page.Gauge("process_open_fds", "Open file descriptors.", Count(*now.open_fds));
  if (now.max_fds) page.Gauge("process_max_fds", "Limit of open file descriptors.", Count(*now.max_fds));
}

}  // namespace

MetricPage CollectMetrics(const MetricSources& sources) {
  MetricPage page;
  AddAgent(page, sources);
  AddRegistry(page, sources);
  if (sources.foreign != nullptr) AddForeign(page, *sources.foreign);
  if (sources.ca != nullptr) AddCa(page, *sources.ca);
  if (sources.crls != nullptr) AddCrls(page, *sources.crls);
  if (sources.svids != nullptr) AddSvids(page, SvidKind::kX509, *sources.svids);
  if (sources.wits != nullptr) AddSvids(page, SvidKind::kWit, *sources.wits);
  if (sources.jwts != nullptr) AddJwts(page, *sources.jwts);
  if (sources.validations != nullptr) AddValidations(page, *sources.validations);
  page.Gauge("lanyard_svid_unwritten_renewals", "Renewed SVIDs that were handed on and are not yet on record.",
             Count(sources.unwritten_renewals));
  if (sources.hub != nullptr) {
    page.Gauge("lanyard_update_subscriptions", "Streams that are told of new SVIDs and bundles.",
               Count(sources.hub->subscriptions()));
  }
  if (sources.callers != nullptr) AddCallers(page, *sources.callers);
  if (sources.workload != nullptr) AddServer(page, "workload", *sources.workload);
  if (sources.admin != nullptr) AddServer(page, "admin", *sources.admin);
  if (sources.state != nullptr) AddState(page, *sources.state);
  if (sources.audit != nullptr) AddAudit(page, *sources.audit);
  AddProcess(page);
  return page;
}

std::string RenderMetrics(const MetricSources& sources) {
  const MetricPage page = CollectMetrics(sources);
  for (const std::string& problem : page.problems()) LANYARD_LOG_WARN("left out of the metrics: {}", problem);
  return page.Text();
}

}  // namespace lanyard
