// What the agent shows of itself: health in words, readiness, metrics.
#include <algorithm>

#include "node_agent/app/agent.h"
#include "node_agent/app/agent_metrics.h"
#include "node_agent/app/version.h"
#include "node_agent/base/log.h"

namespace lanyard {
namespace {

constexpr std::chrono::seconds kLookAtReadiness{1};

}  // namespace

std::vector<HealthFinding> Agent::Findings() const {
  return CollectFindings({clock_.MonoNow(), *registry_, *foreign_, *ca_, authority_at_start_, *crls_, svids_, wits_,
                          *state_, *audit_, source_, waiting_for_restart_, broken_config_, endpoint_problem_,
                          bundle_endpoint_ != nullptr ? bundle_endpoint_->health() : HealthReport{},
                          workload_server_.get(), workload_.caller.look_stats, attestors_});
}

Readiness Agent::ReadinessNow() const {
  Readiness readiness = CollectReadiness({.now = clock_.WallNow(),
                                          .registry_good = RegistryGood(),
                                          .registry_problems = registry_->problems().size(),
                                          .ca = *ca_,
                                          .state = state_.get(),
                                          .audit = audit_.get()});
  if (const HealthReport record = source_.record_health(); record.level != HealthLevel::kGood)
    readiness.push_back({.component = "record", .ok = false, .text = record.text});
  if (draining_) readiness.push_back({.component = "agent", .ok = false, .text = "the agent is stopping"});
  return readiness;
}

WallTime Agent::RegistryGood() const {
  return clock_.WallNow() - std::chrono::duration_cast<WallTime::duration>(clock_.MonoNow() - registry_->loaded_at());
}

std::string Agent::MetricsPage() const {
  std::map<std::string, HealthLevel> health;
  for (const char* component :
       {"attestors", "audit", "bundle_endpoint", "configuration", "crl", "federation", "identity_source", "listener",
        "record", "registry", "state", "svid_cache", "tokens", "wit_svid_cache"})
    health[component] = HealthLevel::kGood;
  for (const HealthFinding& finding : Findings())
    health[finding.component] = std::max(health[finding.component], finding.level);
  return RenderMetrics({.version = std::string(kVersion),
                        .environment = std::string(EnvironmentName(config_.environment)),
                        .started = started_wall_,
                        .ready = IsReady(ReadinessNow()),
                        .health = std::move(health),
                        .denials = access_.denials(),
                        .unwritten_renewals = source_.unwritten(),
                        .callers = &workload_.caller,
                        .registry = registry_.get(),
                        .registry_good = RegistryGood(),
                        .foreign = foreign_.get(),
                        .ca = ca_.get(),
                        .crls = crls_.get(),
                        .svids = &svids_,
                        .wits = &wits_,
                        .jwts = &jwts_,
                        .validations = &workload_.validations,
                        .hub = &hub_,
                        .workload = workload_server_.get(),
                        .admin = admin_server_.get(),
                        .state = state_.get(),
                        .audit = audit_.get(),
                        .loop_delay = &loop_delay_});
}

void Agent::WatchReadiness() {
  readiness_alarm_ = clock_.CallAfter(kLookAtReadiness, [this] { WatchReadiness(); });
  const Readiness readiness = ReadinessNow();
  if (IsReady(readiness) == ready_) return;
  ready_ = !ready_;
  if (ready_) {
    LANYARD_LOG_INFO("ready again: identities are issued");
    manager_.SayStatus("ready");
  } else {
    for (const ComponentReadiness& part : readiness) {
      if (part.ok) continue;
      LANYARD_LOG_ERROR("not ready: {}: {}", part.component, part.text);
      manager_.SayStatus(fmt::format("not ready: {}: {}", part.component, part.text));
    }
  }
  health_.Changed();
}

}  // namespace lanyard
