// How a running agent changes: the configuration is read again, and the end.
#include <algorithm>
#include <utility>

#include "node_agent/app/agent.h"
#include "node_agent/app/config_file.h"
#include "node_agent/app/config_reload.h"
#include "node_agent/base/duration.h"
#include "node_agent/base/log.h"

namespace lanyard {
namespace {

constexpr std::chrono::seconds kDrainTime{3};
constexpr std::chrono::milliseconds kRecordTime{1500};  // for what is still to be written after that

}  // namespace

void Agent::Reload() {
  if (draining_) return;
  LANYARD_LOG_INFO("reloading configuration, registry, foreign bundles and given CA files");
  manager_.Reloading();
  ca_->Reload();
  crls_->Reload();
  ReadConfig();
}

// One after the other, so that what was read last is in force.
void Agent::ReadConfig() {
  if (reading_config_) {
    read_config_again_ = true;
    return;
  }
  reading_config_ = true;
  loop_.ComputeInPool([path = config_path_] { return LoadConfigFile(path); },
                      [this](const Result<Config>& config) {
                        reading_config_ = false;
                        if (std::exchange(read_config_again_, false)) return ReadConfig();
                        OnConfig(config);
                      });
}

void Agent::OnConfig(const Result<Config>& config) {
  if (draining_) return;
  broken_config_ = ErrorLines(config.status());
  std::string outcome;
  if (config.ok()) {
    outcome = TakeOver(*config);
  } else {
    for (const std::string& line : broken_config_) LANYARD_LOG_ERROR("configuration kept as it was: {}", line);
    outcome = fmt::format("kept as it was: {}", fmt::join(broken_config_, "; "));
  }
  audit_->Append({.kind = AuditKind::kConfig, .reason = std::move(outcome), .action = "reload"}, nullptr,
                 AuditSpace::kReserve);
  foreign_->SetFiles(config_.federation.trust_domains);
  WarnOfRegistry();
  registry_->SetPaths(config_.registry_paths, [this](const Status& status) {
    if (!status.ok()) LANYARD_LOG_ERROR("registry reload: {}", Message(status));
    if (!draining_) manager_.Ready();
  });
}

std::string Agent::TakeOver(const Config& config) {
  ConfigReload reload = ReloadConfig(config_, config);
  config_ = std::move(reload.in_force);
  waiting_for_restart_ = std::move(reload.need_restart);
  SetLogLevel(config_.log.level);
  svids_.SetOptions(SvidOptionsOf(config_));
  wits_.SetOptions(SvidOptionsOf(config_));
  jwts_.SetOptions(JwtOptionsOf(config_));
  workload_.caller.attestation_timeout = config_.limits.attestation_timeout;
  workload_.caller.reattestation_interval = config_.limits.reattestation_interval;
  workload_.caller.identities.SetSettings(config_.limits.per_identity);
  admin_.facts.environment = std::string(EnvironmentName(config_.environment));
  audit_->SetOptions(AuditOptionsOf(config_));
  workload_server_->SetLimits(config_.limits.per_caller);
  const auto changed = [&](std::string_view prefix) {
    return std::any_of(reload.taken_over.begin(), reload.taken_over.end(),
                       [&](const std::string& key) { return key.starts_with(prefix); });
  };
  if (changed("endpoints.") || !endpoint_problem_.ok()) {  // a port that was taken may be free now
    endpoint_problem_ = ServeEndpoints();
    if (!endpoint_problem_.ok()) LANYARD_LOG_ERROR("{}", Message(endpoint_problem_));
  }
  std::string text = fmt::format(
      "{}; {}",
      reload.taken_over.empty() ? "nothing changed" : fmt::format("in force: {}", fmt::join(reload.taken_over, ", ")),
      waiting_for_restart_.empty() ? "nothing waits for a restart"
                                   : fmt::format("takes a restart: {}", fmt::join(waiting_for_restart_, ", ")));
  LANYARD_LOG_INFO("configuration: {}", text);
  return text;
}

void Agent::Drain() {
  if (std::exchange(draining_, true)) return;
  LANYARD_LOG_INFO("stopping");
  manager_.Stopping();
  const Deadline deadline = clock_.MonoNow() + kDrainTime;
  workload_server_->Shutdown(deadline,
                             [this, deadline] { admin_server_->Shutdown(deadline, [this] { WriteTheLast(); }); });
}

void Agent::WriteTheLast() {
  record_limit_ = clock_.CallAfter(kRecordTime, [this] {
    LANYARD_LOG_ERROR("the last records did not reach the disk in {}", FormatDuration(kRecordTime));
    loop_.Stop();
  });
  access_.WriteCounts();
  audit_->Append({.kind = AuditKind::kAgent, .reason = "told to stop", .action = "stop"}, nullptr,
                 AuditSpace::kReserve);
  audit_->Seal([this](const Status& sealed) {
    if (!sealed.ok()) LANYARD_LOG_ERROR("seal the audit log: {}", Message(sealed));
    state_->Flush([this](const Status& flushed) {
      if (!flushed.ok()) LANYARD_LOG_ERROR("write the last of the state: {}", Message(flushed));
      all_written_ = true;
      loop_.Stop();
    });
  });
}

}  // namespace lanyard
