// lanyard health
#include <nlohmann/json.hpp>

#include "node_agent/app/admin_call.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/text_output.h"
#include "node_agent/base/duration.h"

namespace lanyard {
namespace {

namespace api = admin::v1;

struct HealthOptions {
  std::string admin_socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
};

std::string_view StatusName(api::HealthStatus status) {
  switch (status) {
    case api::HEALTH_STATUS_OK:
      return "ok";
    case api::HEALTH_STATUS_DEGRADED:
      return "degraded";
    case api::HEALTH_STATUS_FAILING:
      return "failing";
    default:
      return "unknown";
  }
}

void PrintAsJson(const api::GetHealthResponse& health, const Console& console) {
  nlohmann::json findings = nlohmann::json::array();
  for (const api::Finding& finding : health.findings()) {
    findings.push_back({{"component", finding.component()},
                        {"severity", StatusName(finding.severity())},
                        {"text", finding.text()},
                        {"remedy", finding.remedy()}});
  }
  PrintJson(console, {{"status", StatusName(health.status())},
                      {"version", health.version()},
                      {"trust_domain", health.trust_domain()},
                      {"environment", health.environment()},
                      {"uptime_seconds", health.uptime().seconds()},
                      {"findings", std::move(findings)}});
}

void PrintAsText(const api::GetHealthResponse& health, const Console& console) {
  console.out << fmt::format("{}: lanyard {}, trust domain {}, {}, up for {}\n", StatusName(health.status()),
                             Printable(health.version()), Printable(health.trust_domain()),
                             Printable(health.environment()),
                             FormatDuration(std::chrono::seconds(health.uptime().seconds())));
  for (const api::Finding& finding : health.findings()) {
    console.out << fmt::format("{}: {}: {}\n", StatusName(finding.severity()), Printable(finding.component()),
                               Printable(finding.text()));
    if (!finding.remedy().empty()) console.out << "  to do: " << Printable(finding.remedy()) << '\n';
  }
}

// Exit code 0 also when degraded: everything is served. A status that this command does not know is not taken for a
// good one.
int RunHealth(const HealthOptions& options, const Console& console) {
  const auto print = [&options, &console](const api::GetHealthResponse& health) {
    if (options.output == OutputFormat::kJson) {
      PrintAsJson(health, console);
    } else {
      PrintAsText(health, console);
    }
    const bool serves = health.status() == api::HEALTH_STATUS_OK || health.status() == api::HEALTH_STATUS_DEGRADED;
    return serves ? kExitOk : kExitFailed;
  };
  return AskAdmin<api::GetHealthRequest, api::GetHealthResponse>(&api::Admin::Stub::GetHealth, api::GetHealthRequest(),
                                                                 options.admin_socket, options.timeout, console, print);
}

}  // namespace

void AddHealthVerb(CLI::App& root, Verb& chosen) {
  auto options = std::make_shared<HealthOptions>();
  CLI::App* health = root.add_subcommand(
      "health", "How the running agent is, and what to do about it (exit code 1 when it is failing)");
  AddAdminSocketOption(health, options->admin_socket);
  AddTimeoutOption(health, options->timeout);
  AddOutputOption(health, options->output);
  RunWhenNamed(health, chosen, options, RunHealth);
}

}  // namespace lanyard
