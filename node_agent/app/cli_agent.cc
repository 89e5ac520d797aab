// lanyard agent, lanyard version
#include "node_agent/app/cli_options.h"
#include "node_agent/app/run_agent.h"
#include "node_agent/app/text_output.h"
#include "node_agent/app/version.h"

namespace lanyard {
namespace {

struct AgentOptions {
  std::string config = kDefaultConfigPath;
};

int RunAgentVerb(const AgentOptions& options, const Console&) {
  return RunAgent(options.config);
}

struct VersionOptions {
  OutputFormat output = OutputFormat::kText;
};

int RunVersion(const VersionOptions& options, const Console& console) {
  if (options.output == OutputFormat::kJson) {
    PrintJson(console, {{"name", "lanyard"}, {"version", kVersion}});
  } else {
    console.out << "lanyard " << kVersion << '\n';
  }
  return kExitOk;
}

}  // namespace

void AddAgentVerb(CLI::App& root, Verb& chosen) {
  auto options = std::make_shared<AgentOptions>();
  CLI::App* agent =
      root.add_subcommand("agent", "Run the node agent in the foreground (SIGHUP reloads, SIGTERM drains and ends it)");
  AddConfigOption(agent, options->config);
  RunWhenNamed(agent, chosen, options, RunAgentVerb);
}

void AddVersionVerb(CLI::App& root, Verb& chosen) {
  auto options = std::make_shared<VersionOptions>();
  CLI::App* version = root.add_subcommand("version", "Print the version");
  AddOutputOption(version, options->output);
  RunWhenNamed(version, chosen, options, RunVersion);
}

}  // namespace lanyard
