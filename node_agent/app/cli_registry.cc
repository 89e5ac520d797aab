// lanyard registry list, registry show, registry check
#include <google/protobuf/duration.pb.h>

#include <nlohmann/json.hpp>

#include "node_agent/app/admin_call.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/config.h"
#include "node_agent/app/entry_output.h"
#include "node_agent/app/text_output.h"
#include "node_agent/registry/loader.h"

namespace lanyard {
namespace {

namespace api = admin::v1;

struct AskOptions {
  std::string spiffe_id;
  std::string admin_socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
};

// Makes the call, prints what `print` makes of the answer.
template <class Request, class Response>
int Ask(grpc::Status (api::Admin::Stub::*call)(grpc::ClientContext*, const Request&, Response*),
        const AskOptions& options, const Console& console,
        int (*print)(const Response&, const AskOptions&, const Console&)) {
  Request request;
  request.set_spiffe_id(options.spiffe_id);
  return AskAdmin<Request, Response>(call, request, options.admin_socket, options.timeout, console,
                                     [&](const Response& response) { return print(response, options, console); });
}

int PrintList(const api::ListEntriesResponse& response, const AskOptions& options, const Console& console) {
  for (const std::string& error : response.errors())
    console.err << "warning: the last good state is kept: " << Printable(error) << '\n';
  if (options.output == OutputFormat::kJson) {
    nlohmann::json entries = nlohmann::json::array();
    for (const api::Entry& entry : response.entries()) entries.push_back(EntryAsJson(entry));
    PrintJson(console, {{"entries", std::move(entries)},
                        {"errors", std::vector<std::string>(response.errors().begin(), response.errors().end())}});
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {{"SPIFFE ID", "SELECTORS", "X509 TTL", "HINT", "WRITTEN AT"}};
  for (const api::Entry& entry : response.entries()) rows.push_back(EntryAsRow(entry));
  PrintTable(console, rows);
  return kExitOk;
}

int PrintEntries(const api::ShowEntryResponse& response, const AskOptions& options, const Console& console) {
  nlohmann::json entries = nlohmann::json::array();
  for (const api::Entry& entry : response.entries()) {
    if (options.output == OutputFormat::kJson) {
      entries.push_back(EntryAsJson(entry));
    } else {
      console.out << EntryAsText(entry);
    }
  }
  if (options.output == OutputFormat::kJson) PrintJson(console, {{"entries", std::move(entries)}});
  return kExitOk;
}

int RunList(const AskOptions& options, const Console& console) {
  return Ask<api::ListEntriesRequest, api::ListEntriesResponse>(&api::Admin::Stub::ListEntries, options, console,
                                                                PrintList);
}

int RunShow(const AskOptions& options, const Console& console) {
  return Ask<api::ShowEntryRequest, api::ShowEntryResponse>(&api::Admin::Stub::ShowEntry, options, console,
                                                            PrintEntries);
}

struct CheckOptions {
  std::vector<std::string> paths;
  std::string trust_domain;
  std::string config;
  OutputFormat output = OutputFormat::kText;
};

// The trust domain and the paths to check: from the options, and what they leave open from the configuration.
Result<RegistryOptions> WhatToCheck(const CheckOptions& options) {
  if (options.config.empty()) {
    ASSIGN_OR_RETURN(TrustDomain trust_domain, TrustDomain::Parse(options.trust_domain));
    return RegistryOptions{std::move(trust_domain), options.paths};
  }
  ASSIGN_OR_RETURN(Config config, LoadConfig(options.config));
  return RegistryOptions{config.trust_domain, options.paths.empty() ? config.registry_paths : options.paths};
}

int RunCheck(const CheckOptions& options, const Console& console) {
  if (options.config.empty() && options.trust_domain.empty()) {
    return console.Fail(
        kExitUsage,
        "registry check: --trust-domain or --config is needed: every SPIFFE ID is checked against the trust domain");
  }
  if (options.config.empty() && options.paths.empty())
    return console.Fail(kExitUsage, "registry check: name the files or directories to check");
  const Result<RegistryOptions> what = WhatToCheck(options);
  if (!what.ok()) {
    for (const std::string& line : ErrorLines(what.status())) console.err << Printable(line) << '\n';
    return kExitFailed;
  }
  const LoadedRegistry loaded = LoadRegistry(*what, nullptr);
  for (const std::string& error : loaded.errors) console.err << Printable(error) << '\n';
  for (const std::string& warning : loaded.warnings) console.err << "warning: " << Printable(warning) << '\n';
  if (options.output == OutputFormat::kJson) {
    PrintJson(console, {{"valid", loaded.ok()},
                        {"entries", loaded.registry->size()},
                        {"errors", loaded.errors},
                        {"warnings", loaded.warnings}});
  } else if (loaded.ok()) {
    console.out << "valid: " << Count(loaded.registry->size(), "registration entry", "registration entries") << '\n';
  }
  return loaded.ok() ? kExitOk : kExitFailed;
}

void AddAskOptions(CLI::App* app, AskOptions& options) {
  AddAdminSocketOption(app, options.admin_socket);
  AddTimeoutOption(app, options.timeout);
  AddOutputOption(app, options.output);
}

}  // namespace

void AddRegistryVerbs(CLI::App& root, Verb& chosen) {
  CLI::App* registry = root.add_subcommand("registry", "Who may be whom");
  registry->require_subcommand(1);

  auto list_options = std::make_shared<AskOptions>();
  CLI::App* list = registry->add_subcommand("list", "List the entries that the running agent has in force");
  list->add_option("SPIFFE_ID", list_options->spiffe_id, "Only this one; with a slash at its end, those below it");
  AddAskOptions(list, *list_options);
  RunWhenNamed(list, chosen, list_options, RunList);

  auto show_options = std::make_shared<AskOptions>();
  CLI::App* show = registry->add_subcommand("show", "Show all of one identity's entries");
  show->add_option("SPIFFE_ID", show_options->spiffe_id, "e.g. spiffe://example.org/agent/refund-bot")->required();
  AddAskOptions(show, *show_options);
  RunWhenNamed(show, chosen, show_options, RunShow);

  auto check_options = std::make_shared<CheckOptions>();
  CLI::App* check = registry->add_subcommand("check", "Check registry files; needs no agent");
  check->add_option("PATHS", check_options->paths, "Files, or directories of *.yaml files; else those of --config");
  CLI::Option* trust_domain =
      check->add_option("--trust-domain", check_options->trust_domain, "The trust domain of the entries")
          ->type_name("NAME");
  check->add_option("--config", check_options->config, "Take the trust domain from this configuration")
      ->type_name("FILE")
      ->excludes(trust_domain);
  AddOutputOption(check, check_options->output);
  RunWhenNamed(check, chosen, check_options, RunCheck);
}

}  // namespace lanyard
