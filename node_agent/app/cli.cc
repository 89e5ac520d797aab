#include "node_agent/app/cli.h"

#include <algorithm>

#include "node_agent/app/cli_options.h"
#include "node_agent/app/text_output.h"
#include "node_agent/app/version.h"
#include "node_agent/base/duration.h"

namespace lanyard {

int Console::Fail(ExitCode code, std::string_view text) const {
  err << "lanyard: " << text << '\n';
  return code;
}

void AddConfigOption(CLI::App* app, std::string& path) {
  app->add_option("--config", path, "The agent's configuration")->type_name("FILE")->default_str(path);
}

void AddOutputOption(CLI::App* app, OutputFormat& format) {
  app->add_option_function<std::string>(
         "--output",
         [&format](const std::string& name) { format = name == "json" ? OutputFormat::kJson : OutputFormat::kText; },
         "How to print: text for people, json for programs")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text");
}

Result<std::optional<SpiffeId>> ReadSpiffeIdOption(const std::string& text) {
  if (text.empty()) return std::optional<SpiffeId>();
  Result<SpiffeId> id = SpiffeId::Parse(text);
  if (!id.ok()) return Annotate(id.status(), "--spiffe-id");
  return std::optional<SpiffeId>(*std::move(id));
}

std::string CheckAudience(const std::string& audience) {
  return audience.empty() ? "an audience is not empty" : "";
}

void AddSocketOption(CLI::App* app, std::string& address) {
  app->add_option("--socket", address,
                  "The workload socket, as unix:///path or /path; else $SPIFFE_ENDPOINT_SOCKET, else "
                  "unix:///run/lanyard/workload.sock")
      ->type_name("ADDRESS");
}

void AddAdminSocketOption(CLI::App* app, std::string& address) {
  app->add_option("--admin-socket", address,
                  "The operators' socket, as unix:///path or /path; else $LANYARD_ADMIN_SOCKET, else "
                  "/run/lanyard-admin/admin.sock")
      ->type_name("ADDRESS");
}

void AddTimeoutOption(CLI::App* app, std::chrono::milliseconds& timeout) {
  app->add_option_function<std::string>(
         "--timeout",
         [&timeout](const std::string& text) {
           const Result<std::chrono::nanoseconds> duration = ParseDuration(text);
           if (!duration.ok()) throw CLI::ValidationError("--timeout", std::string(Message(duration.status())));
           timeout = std::chrono::ceil<std::chrono::milliseconds>(*duration);
           if (timeout.count() == 0 || timeout > std::chrono::hours(24)) {
             throw CLI::ValidationError("--timeout", "must be more than zero and at most 24h");
           }
         },
         "How long to wait for the agent's answer")
      ->type_name("DURATION")
      ->default_str(FormatDuration(timeout));
}

namespace {

// What follows "--" after exec: somebody else's command line, which the parser must not look into (it takes "[a,b]" for
// two arguments).
std::vector<std::string> TakeCommand(std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.front() != "exec") return {};
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  if (dashes == arguments.end()) return {};
  std::vector<std::string> command(dashes + 1, arguments.end());
  arguments.erase(dashes, arguments.end());
  return command;
}

}  // namespace

int RunCommandLine(std::vector<std::string> arguments, const Console& console) {
  CLI::App root("Lanyard gives the programs on this machine short-lived SPIFFE identities.", "lanyard");
  root.require_subcommand(1);
  root.set_version_flag("--version", std::string("lanyard ") + std::string(kVersion));
  root.footer("Exit codes: 0 ok, 1 failed or refused, 2 wrong usage, 3 the agent cannot be reached, 4 denied.");
  Verb chosen;
  AddAgentVerb(root, chosen);
  AddConfigVerbs(root, chosen);
  AddCaVerbs(root, chosen);
  AddFetchVerbs(root, chosen);
  AddValidateVerbs(root, chosen);
  AddWatchVerb(root, chosen);
  AddExecVerb(root, chosen, TakeCommand(arguments));
  AddRegistryVerbs(root, chosen);
  AddAttestVerb(root, chosen);
  AddAuditVerbs(root, chosen);
  AddHealthVerb(root, chosen);
  AddLogLevelVerb(root, chosen);
  AddVersionVerb(root, chosen);

  try {
    std::reverse(arguments.begin(), arguments.end());  // as the parser wants them
    root.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return root.exit(error, console.out, console.err) == 0 ? kExitOk : kExitUsage;
  }
  int code = chosen(console);
  console.out.flush();
  if (!console.out && code == kExitOk)
    code = console.Fail(kExitFailed, "write the answer to standard output: failed; is the disk full?");
  return code;
}

}  // namespace lanyard
