// Options that several verbs share. Only for the files that register verbs: it brings in CLI11.
//
// Thread: main.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "node_agent/app/cli.h"
#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"

namespace lanyard {

// Makes `run` the chosen verb when `app` is on the command line. `options` are those that its add_option calls fill.
template <class Options>
void RunWhenNamed(CLI::App* app, Verb& chosen, std::shared_ptr<Options> options,
                  int (*run)(const Options&, const Console&)) {
  app->callback(
      [&chosen, options, run] { chosen = [options, run](const Console& console) { return run(*options, console); }; });
}

inline constexpr char kDefaultConfigPath[] = "/etc/lanyard/lanyard.yaml";

// --config FILE
void AddConfigOption(CLI::App* app, std::string& path);
// --output text|json
void AddOutputOption(CLI::App* app, OutputFormat& format);
// --socket, for verbs that only need an identity; `address` stays empty when it is not given
void AddSocketOption(CLI::App* app, std::string& address);
// --admin-socket, for verbs of operators
void AddAdminSocketOption(CLI::App* app, std::string& address);
// What --spiffe-id says; nothing when it was not given.
Result<std::optional<SpiffeId>> ReadSpiffeIdOption(const std::string& text);
// For options that name an audience (CLI::Option::check): what is wrong with it, if anything.
std::string CheckAudience(const std::string& audience);
// --timeout 10s
void AddTimeoutOption(CLI::App* app, std::chrono::milliseconds& timeout);

}  // namespace lanyard
