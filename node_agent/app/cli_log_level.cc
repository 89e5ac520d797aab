// lanyard log-level
#include "node_agent/app/admin_call.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/text_output.h"

namespace lanyard {
namespace {

namespace api = admin::v1;

struct LogLevelOptions {
  std::string level;
  std::string admin_socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
};

int RunLogLevel(const LogLevelOptions& options, const Console& console) {
  api::SetLogLevelRequest request;
  request.set_level(options.level);
  const auto print = [&options, &console](const api::SetLogLevelResponse& response) {
    if (options.output == OutputFormat::kJson) {
      PrintJson(console, {{"level", response.level()}, {"before", response.before()}});
    } else if (options.level.empty()) {
      console.out << Printable(response.level()) << '\n';
    } else {
      console.out << fmt::format("{} (was {}); until the configuration is read again\n", Printable(response.level()),
                                 Printable(response.before()));
    }
    return kExitOk;
  };
  return AskAdmin<api::SetLogLevelRequest, api::SetLogLevelResponse>(
      &api::Admin::Stub::SetLogLevel, request, options.admin_socket, options.timeout, console, print);
}

}  // namespace

void AddLogLevelVerb(CLI::App& root, Verb& chosen) {
  auto options = std::make_shared<LogLevelOptions>();
  CLI::App* level = root.add_subcommand("log-level", "Tell or set the running agent's log level");
  level->add_option("LEVEL", options->level, "The new level; none: only tell it")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  AddAdminSocketOption(level, options->admin_socket);
  AddTimeoutOption(level, options->timeout);
  AddOutputOption(level, options->output);
  RunWhenNamed(level, chosen, options, RunLogLevel);
}

}  // namespace lanyard
