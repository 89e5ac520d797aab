#include "node_agent/app/agent_health.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "node_agent/base/duration.h"
#include "node_agent/rpc/peer_process.h"

namespace lanyard {
namespace {

void Add(std::vector<HealthFinding>& findings, std::string component, HealthReport report, std::string remedy) {
  if (report.level == HealthLevel::kGood) return;
  findings.push_back({std::move(component), report.level, std::move(report.text), std::move(remedy)});
}

void AddDisk(std::vector<HealthFinding>& findings, std::string component, HealthReport report) {
  const std::string_view at_once = report.level == HealthLevel::kBroken ? "make room or repair the disk; " : "";
  Add(findings, std::move(component), std::move(report),
      fmt::format("{}see \"Bad days\" in docs/OPERATIONS.md", at_once));
}

// Uid 0 alone is not enough, and another uid may have it.
bool MayLookIntoProcesses() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct ours[_LINUX_CAPABILITY_U32S_3]{};
  return syscall(SYS_capget, &header, ours) == 0 && (ours[0].effective & (1U << CAP_SYS_PTRACE)) != 0;
}

// Do entries name what only those see who may look into a process?
bool NamesPrograms(const WantedKinds& wanted) {
  return wanted.Has("unix", "path") || wanted.Has("unix", "sha256") || wanted.Has("process", "ancestor") ||
         wanted.Has("process", "ancestor_sha256") || wanted.Has("process", "ns");
}

void AddKernel(std::vector<HealthFinding>& findings, const Registry& registry) {
  if (!KernelGivesPeerPidfds()) {
    findings.push_back({"listener", HealthLevel::kDegraded,
                        "this kernel does not give the pidfd of a socket's peer (SO_PEERPIDFD): a pid that is reused "
                        "between connect and accept "
                        "could be taken for the process that connected",
                        "run Linux 6.5 or later; docs/THREAT_MODEL.md describes the window"});
  }
  if (NamesPrograms(*registry.wanted()) && !MayLookIntoProcesses()) {
    findings.push_back(
        {"attestors", HealthLevel::kDegraded,
         "entries name programs or namespaces, and the node agent has no CAP_SYS_PTRACE: it cannot see those of other "
         "users' processes",
         "give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, or use no path, sha256, ancestor or ns selectors"});
  }
}

// A limit that was met once is no news for ever: what happened lately is told, the metrics count the rest.
constexpr std::chrono::minutes kLately{15};

void AddListener(std::vector<HealthFinding>& findings, const RpcServer& server, MonoTime now) {
  const RpcServerStats stats = server.stats();
  if (stats.last_refused && now - *stats.last_refused <= kLately) {
    std::string limits;
    uint64_t refused = 0;
    for (size_t limit = 0; limit < kCallerLimitNames.size(); ++limit) {
      if (stats.refused[limit] == 0) continue;
      limits += fmt::format("{}limits.per_caller.{}", limits.empty() ? "" : ", ", kCallerLimitNames[limit]);
      refused += stats.refused[limit];
    }
    findings.push_back({"listener", HealthLevel::kDegraded,
                        fmt::format("{} connections and calls were refused above the limits since start-up, the last "
                                    "one less than {} ago; {} connections are open now",
                                    refused, FormatDuration(kLately), stats.connections.open),
                        fmt::format("see whose in the log; if it is legitimate, raise what was reached: {}", limits)});
  }
  if (!stats.connections.last_full || now - *stats.connections.last_full > kLately) return;
  findings.push_back({"listener", HealthLevel::kDegraded,
                      fmt::format("{} connections were refused since start-up because no more fit, the last one less "
                                  "than {} ago; {} are open now",
                                  stats.connections.refused_full, FormatDuration(kLately), stats.connections.open),
                      "raise the limit of open files (LimitNOFILE=); see whose they are in the log"});
}

}  // namespace

std::vector<HealthFinding> CollectFindings(const HealthSources& sources) {
  std::vector<HealthFinding> findings;
  Add(findings, "identity_source", sources.ca.health(), "lanyard ca show");
  // No fault, but whoever misses tokens looks here.
  if (const auto bundle = sources.ca.source().bundle(); bundle != nullptr && bundle->jwt_authorities().empty()) {
    findings.push_back({"tokens", HealthLevel::kGood, sources.ca.health().text,
                        "give a key in identity_source.embedded_ca.jwt_authority_key, if workloads need JWT-SVIDs"});
  }
  if (sources.authority == AuthorityAtStart::kMissing) {
    findings.push_back(
        {"identity_source", HealthLevel::kDegraded,
         "the data directory has been used before, but held no authority at start: a new one was made, and verifiers "
         "that have the old bundle refuse what it signs",
         "if it was lost: stop the agent, put data_dir/ca back from a backup, start; else this goes with the next "
         "start"});
  }
  Add(findings, "crl", sources.crls.health(),
      "see state and the files named; \"Revocation lists\" in docs/OPERATIONS.md");
  Add(findings, "svid_cache", sources.svids.health(), "see identity_source, and the log");
  Add(findings, "wit_svid_cache", sources.wits.health(), "see identity_source, and the log");
  AddDisk(findings, "state", sources.state.health());
  AddDisk(findings, "audit", sources.audit.health());
  Add(findings, "record", sources.record.record_health(), "see state and audit");
  for (const std::string& problem : sources.broken_config) {
    findings.push_back({"configuration", HealthLevel::kDegraded, problem,
                        "repair it and reload (SIGHUP); until then the configuration before it is in force, and the "
                        "agent would not start again"});
  }
  if (!sources.waiting_for_restart.empty()) {
    findings.push_back({"configuration", HealthLevel::kDegraded,
                        fmt::format("the file says something else than what is in force for: {}",
                                    fmt::join(sources.waiting_for_restart, ", ")),
                        "restart the agent"});
  }
  if (!sources.endpoints.ok()) {
    findings.push_back({"configuration", HealthLevel::kDegraded, std::string(Message(sources.endpoints)),
                        "repair it and reload; not all of metrics, health and bundle are served meanwhile"});
  }
  for (const std::string& problem : sources.registry.problems()) {
    findings.push_back({"registry", HealthLevel::kDegraded, problem,
                        "repair it (lanyard registry check); until then the last good state is in force"});
  }
  Add(findings, "bundle_endpoint", sources.bundle_endpoint, "see the files of endpoints.bundle, or identity_source");
  for (HealthReport& problem : sources.foreign.problems()) {
    Add(findings, "federation", std::move(problem),
        "put a good SPIFFE bundle document there, in one step; it is read by itself");
  }
  if (sources.workload != nullptr) AddListener(findings, *sources.workload, sources.now);
  if (sources.looks.withheld > 0) {
    findings.push_back({"attestors", HealthLevel::kDegraded,
                        fmt::format("{} open streams keep what they have without renewal, since it cannot be found out "
                                    "whether they still may; they end when their SVIDs expire",
                                    sources.looks.withheld),
                        "see what could not be found out in the log"});
  }
  for (const auto& [type, why] : sources.attestors.problems()) {
    findings.push_back(
        {"attestors", HealthLevel::kDegraded,
         fmt::format("attestor {} cannot find something out: {}", type, Message(why)),
         "until it can, who needs its selectors gets nothing new, and open streams keep what they have"});
  }
  AddKernel(findings, *sources.registry.registry());
  std::stable_sort(findings.begin(), findings.end(),
                   [](const HealthFinding& a, const HealthFinding& b) { return a.level > b.level; });
  return findings;
}

}  // namespace lanyard
