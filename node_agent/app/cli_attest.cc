// lanyard attest PID
#include <google/protobuf/duration.pb.h>

#include <nlohmann/json.hpp>

#include "node_agent/app/admin_call.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/entry_output.h"
#include "node_agent/app/text_output.h"

namespace lanyard {
namespace {

namespace api = admin::v1;

struct AttestOptions {
  int pid = 0;
  std::string admin_socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
};

std::string_view VerdictName(api::Verdict verdict) {
  switch (verdict) {
    case api::VERDICT_EARNED:
      return "earned";
    case api::VERDICT_LEFT_OUT:
      return "left out";
    case api::VERDICT_UNDETERMINED:
      return "undetermined";
    case api::VERDICT_NOT_EARNED:
      return "not earned";
    default:
      return "unknown";
  }
}

double Micros(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) * 1e6 + duration.nanos() / 1e3;
}

std::string ResultOf(const api::AttestorReport& report) {
  std::vector<std::string> parts;
  if (report.selectors() > 0 || report.gaps().empty()) {
    parts.push_back(report.selectors() == 0 ? "not its kind of process"
                                            : Count(report.selectors(), "selector", "selectors"));
  }
  for (const api::Gap& gap : report.gaps())
    parts.push_back(fmt::format("could not find out {}: {}", Printable(gap.prefix()), Printable(gap.why())));
  return Join(parts, "; ");
}

nlohmann::json AsJson(const api::AttestProcessResponse& response, int pid) {
  nlohmann::json attestors = nlohmann::json::array(), entries = nlohmann::json::array();
  for (const api::AttestorReport& report : response.attestors()) {
    nlohmann::json gaps = nlohmann::json::array();
    for (const api::Gap& gap : report.gaps()) gaps.push_back({{"prefix", gap.prefix()}, {"why", gap.why()}});
    attestors.push_back({{"type", report.type()},
                         {"micros", Micros(report.took())},
                         {"selectors", report.selectors()},
                         {"gaps", std::move(gaps)}});
  }
  for (const api::EntryReport& report : response.entries()) {
    nlohmann::json entry = EntryAsJson(report.entry());
    entry["verdict"] = VerdictName(report.verdict());
    if (!report.why().empty()) entry["why"] = report.why();
    if (!report.missing().empty())
      entry["missing"] = std::vector<std::string>(report.missing().begin(), report.missing().end());
    entries.push_back(std::move(entry));
  }
  return {{"pid", pid},
          {"uid", response.uid()},
          {"gid", response.gid()},
          {"attestors", std::move(attestors)},
          {"selectors", std::vector<std::string>(response.selectors().begin(), response.selectors().end())},
          {"entries", std::move(entries)}};
}

void PrintText(const api::AttestProcessResponse& response, int pid, const Console& console) {
  console.out << fmt::format("process {}, uid {}, gid {}\n\n", pid, response.uid(), response.gid());
  std::vector<std::vector<std::string>> rows = {{"ATTESTOR", "TIME", "RESULT"}};
  for (const api::AttestorReport& report : response.attestors())
    rows.push_back({report.type(), fmt::format("{:.1f} ms", Micros(report.took()) / 1000), ResultOf(report)});
  PrintTable(console, rows);
  console.out << '\n';
  for (const std::string& selector : response.selectors()) console.out << Printable(selector) << '\n';
  console.out << '\n';
  if (response.entries().empty()) console.out << "no registration entry has any of these selectors\n";
  for (const api::EntryReport& report : response.entries()) {
    console.out << fmt::format("{}: {} ({}:{}){}{}\n", VerdictName(report.verdict()),
                               Printable(report.entry().spiffe_id()), Printable(report.entry().file()),
                               report.entry().line(), report.why().empty() ? "" : ": ", Printable(report.why()));
  }
}

int RunAttest(const AttestOptions& options, const Console& console) {
  api::AttestProcessRequest request;
  request.set_pid(options.pid);
  const auto print = [&options, &console](const api::AttestProcessResponse& response) {
    if (options.output == OutputFormat::kJson) {
      PrintJson(console, AsJson(response, options.pid));
    } else {
      PrintText(response, options.pid, console);
    }
    return kExitOk;
  };
  return AskAdmin<api::AttestProcessRequest, api::AttestProcessResponse>(
      &api::Admin::Stub::AttestProcess, request, options.admin_socket, options.timeout, console, print);
}

}  // namespace

void AddAttestVerb(CLI::App& root, Verb& chosen) {
  auto options = std::make_shared<AttestOptions>();
  CLI::App* attest = root.add_subcommand(
      "attest", "Why a process gets an identity or not: what the attestors find, and which entries that earns");
  attest->add_option("PID", options->pid, "The process, by its number in the agent's pid namespace")
      ->required()
      ->check(CLI::PositiveNumber);
  AddAdminSocketOption(attest, options->admin_socket);
  AddTimeoutOption(attest, options->timeout);
  AddOutputOption(attest, options->output);
  RunWhenNamed(attest, chosen, options, RunAttest);
}

}  // namespace lanyard
