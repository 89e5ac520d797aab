// lanyard config check, lanyard config example
#include <iterator>
#include <nlohmann/json.hpp>

#include "node_agent/app/attestor_check.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/config.h"
#include "node_agent/app/config_example.h"
#include "node_agent/app/config_oidc.h"
#include "node_agent/app/federation_check.h"
#include "node_agent/app/text_output.h"
#include "node_agent/registry/loader.h"

namespace lanyard {
namespace {

struct CheckOptions {
  std::string file;
  OutputFormat output = OutputFormat::kText;
};

struct Findings {
  std::vector<std::string> errors;
  std::vector<std::string> warnings;
  std::string summary;
};

Findings CheckConfigAndRegistry(const std::string& file) {
  Findings found;
  const Result<Config> config = LoadConfig(file);
  if (!config.ok()) {
    found.errors = ErrorLines(config.status());
    found.warnings.push_back("the registry was not checked, because the configuration has errors");
    return found;
  }
  const LoadedRegistry registry = LoadRegistry({config->trust_domain, config->registry_paths}, nullptr);
  found.errors = registry.errors;
  found.warnings = registry.warnings;
  for (std::vector<std::string> more :
       {UnknownFederation(*registry.registry, config->federation.trust_domains),
        UnattestedEntries(*registry.registry, config->attestors), AttestorWarnings(config->attestors),
        UnusableBundles(config->federation.trust_domains), OidcWarnings(*config)}) {
    std::move(more.begin(), more.end(), std::back_inserter(found.warnings));
  }
  found.summary = fmt::format("{}: valid; trust domain {}, {}", Printable(file), config->trust_domain.name(),
                              Count(registry.registry->size(), "registration entry", "registration entries"));
  return found;
}

// Errors and warnings go to err as they are, one a line, where editors find the position at the beginning of the line.
int RunCheck(const CheckOptions& options, const Console& console) {
  const Findings found = CheckConfigAndRegistry(options.file);
  for (const std::string& error : found.errors) console.err << Printable(error) << '\n';
  for (const std::string& warning : found.warnings) console.err << "warning: " << Printable(warning) << '\n';
  if (options.output == OutputFormat::kJson) {
    PrintJson(console, {{"valid", found.errors.empty()}, {"errors", found.errors}, {"warnings", found.warnings}});
  } else if (found.errors.empty()) {
    console.out << found.summary << '\n';
  }
  return found.errors.empty() ? kExitOk : kExitFailed;
}

struct ExampleOptions {};

int RunExample(const ExampleOptions&, const Console& console) {
  console.out << ConfigExample();
  return kExitOk;
}

}  // namespace

void AddConfigVerbs(CLI::App& root, Verb& chosen) {
  CLI::App* config = root.add_subcommand("config", "Check the configuration, or print one to start from");
  config->require_subcommand(1);

  auto options = std::make_shared<CheckOptions>();
  CLI::App* check =
      config->add_subcommand("check", "Validate configuration and registry; every error with file:line:column");
  check->add_option("FILE", options->file, "The configuration")->required();
  AddOutputOption(check, options->output);
  RunWhenNamed(check, chosen, options, RunCheck);

  CLI::App* example =
      config->add_subcommand("example", "Print the whole default configuration, every key with its comment");
  RunWhenNamed(example, chosen, std::make_shared<ExampleOptions>(), RunExample);
}

}  // namespace lanyard
