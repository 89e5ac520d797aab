// lanyard ca init, ca show, ca rotate
#include <google/protobuf/timestamp.pb.h>

#include <nlohmann/json.hpp>

#include "node_agent/app/admin_call.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/config_file.h"
#include "node_agent/app/text_output.h"
#include "node_agent/base/clock.h"

namespace lanyard {
namespace {

namespace api = admin::v1;

WallTime ToTime(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::seconds(time.seconds()));
}

// The server has its own words for the phases; people see those of the agent's log.
std::string_view PhaseName(api::CaPhase phase) {
  switch (phase) {
    case api::CA_PHASE_PREPARED:
      return AuthorityPhaseName(AuthorityPhase::kPrepared);
    case api::CA_PHASE_ACTIVE:
      return AuthorityPhaseName(AuthorityPhase::kActive);
    case api::CA_PHASE_RETIRED:
      return AuthorityPhaseName(AuthorityPhase::kRetired);
    default:
      return "unknown";
  }
}

// What is printed, whether it comes from a running agent or from the data directory.
struct Authority {
  std::string id, kind, phase, key_type, source;
  WallTime not_before, not_after;
  std::optional<WallTime> signs_from, keep_until;
};

Authority FromMessage(const api::CaAuthority& message) {
  Authority authority{.id = message.id(),
                      .kind = message.kind(),
                      .phase = std::string(PhaseName(message.phase())),
                      .key_type = message.key_type(),
                      .source = message.source(),
                      .not_before = ToTime(message.not_before()),
                      .not_after = ToTime(message.not_after()),
                      .signs_from = std::nullopt,
                      .keep_until = std::nullopt};
  if (message.has_signs_from()) authority.signs_from = ToTime(message.signs_from());
  if (message.has_keep_until()) authority.keep_until = ToTime(message.keep_until());
  return authority;
}

Authority FromInfo(const AuthorityInfo& info) {
  return {.id = info.id,
          .kind = std::string(SvidKindName(info.kind)),
          .phase = std::string(AuthorityPhaseName(info.phase)),
          .key_type = info.key_type,
          .source = info.file,
          .not_before = info.not_before,
          .not_after = info.not_after,
          .signs_from = info.signs_from,
          .keep_until = info.keep_until};
}

template <class From, class One>
std::vector<Authority> Convert(const From& from, One convert) {
  std::vector<Authority> authorities;
  authorities.reserve(from.size());
  for (const auto& one : from) authorities.push_back(convert(one));
  return authorities;
}

int Print(const std::vector<Authority>& authorities, OutputFormat output, const Console& console) {
  if (output == OutputFormat::kJson) {
    nlohmann::json list = nlohmann::json::array();
    for (const Authority& authority : authorities) {
      nlohmann::json one = {{"id", authority.id},
                            {"kind", authority.kind},
                            {"phase", authority.phase},
                            {"key_type", authority.key_type},
                            {"not_before", Utc(authority.not_before)},
                            {"not_after", Utc(authority.not_after)},
                            {"source", authority.source}};
      if (authority.signs_from) one["signs_from"] = Utc(*authority.signs_from);
      if (authority.keep_until) one["keep_until"] = Utc(*authority.keep_until);
      list.push_back(std::move(one));
    }
    PrintJson(console, {{"authorities", std::move(list)}});
    return kExitOk;
  }
  const WallTime now = std::chrono::system_clock::now();
  std::vector<std::vector<std::string>> rows = {{"ID", "SIGNS", "PHASE", "KEY", "VALID UNTIL", "NEXT", "SOURCE"}};
  for (const Authority& authority : authorities) {
    std::string next = "-";
    if (authority.signs_from) next = "signs " + FormatDistance(*authority.signs_from, now);
    if (authority.keep_until) next = "leaves the bundle " + FormatDistance(*authority.keep_until, now);
    rows.push_back({Printable(authority.id), Printable(authority.kind), authority.phase, Printable(authority.key_type),
                    fmt::format("{} ({})", Utc(authority.not_after), FormatDistance(authority.not_after, now)), next,
                    Printable(authority.source)});
  }
  PrintTable(console, rows);
  return kExitOk;
}

struct CaVerbOptions {
  std::string config;
  std::string admin_socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
};

int FailConfig(const Status& status, const Console& console) {
  for (const std::string& line : ErrorLines(status)) console.err << Printable(line) << '\n';
  return kExitFailed;
}

int RunInit(const CaVerbOptions& options, const Console& console) {
  const Result<Config> config = LoadConfigFile(options.config);
  if (!config.ok()) return FailConfig(config.status(), console);
  const Result<DataDirLock> lock = DataDirLock::Acquire(config->data_dir);
  if (!lock.ok()) return console.Fail(Annotate(lock.status(), "make the certificate authority"));
  const Result<std::vector<AuthorityInfo>> made = InitCa(CaOptionsOf(*config), *lock, std::chrono::system_clock::now());
  if (!made.ok()) return console.Fail(Annotate(made.status(), "make the certificate authority"));
  return Print(Convert(*made, FromInfo), options.output, console);
}

int ShowOffline(const CaVerbOptions& options, const Console& console) {
  const Result<Config> config = LoadConfig(options.config);
  if (!config.ok()) return FailConfig(config.status(), console);
  const auto read = ReadCa(CaOptionsOf(*config), config->data_dir, std::chrono::system_clock::now());
  if (!read.ok()) return console.Fail(read.status());
  return Print(Convert(*read, FromInfo), options.output, console);
}

// One call to the agent that answers with its authorities.
template <class Request, class Response>
int AskForAuthorities(grpc::Status (api::Admin::Stub::*call)(grpc::ClientContext*, const Request&, Response*),
                      const CaVerbOptions& options, const Console& console) {
  return AskAdmin<Request, Response>(
      call, Request(), options.admin_socket, options.timeout, console, [&](const Response& response) {
        return Print(Convert(response.authorities(), FromMessage), options.output, console);
      });
}

int RunShow(const CaVerbOptions& options, const Console& console) {
  if (!options.config.empty()) return ShowOffline(options, console);
  return AskForAuthorities<api::ShowCaRequest, api::ShowCaResponse>(&api::Admin::Stub::ShowCa, options, console);
}

int RunRotate(const CaVerbOptions& options, const Console& console) {
  return AskForAuthorities<api::RotateCaRequest, api::RotateCaResponse>(&api::Admin::Stub::RotateCa, options, console);
}

}  // namespace

void AddCaVerbs(CLI::App& root, Verb& chosen) {
  CLI::App* ca = root.add_subcommand("ca", "The embedded certificate authority");
  ca->require_subcommand(1);

  auto init_options = std::make_shared<CaVerbOptions>();
  init_options->config = kDefaultConfigPath;
  CLI::App* init = ca->add_subcommand(
      "init", "Make the authority now, while no agent runs (the agent makes it by itself on its first start)");
  AddConfigOption(init, init_options->config);
  AddOutputOption(init, init_options->output);
  RunWhenNamed(init, chosen, init_options, RunInit);

  auto show_options = std::make_shared<CaVerbOptions>();
  CLI::App* show = ca->add_subcommand(
      "show", "Show the authorities of the running agent, or with --config those in its data directory");
  show->add_option("--config", show_options->config,
                   "Read the data directory of this configuration instead of asking an agent")
      ->type_name("FILE");
  AddAdminSocketOption(show, show_options->admin_socket);
  AddTimeoutOption(show, show_options->timeout);
  AddOutputOption(show, show_options->output);
  RunWhenNamed(show, chosen, show_options, RunShow);

  auto rotate_options = std::make_shared<CaVerbOptions>();
  CLI::App* rotate = ca->add_subcommand(
      "rotate", "Let the running agent sign with a new root from now on; what it has issued stays valid");
  AddAdminSocketOption(rotate, rotate_options->admin_socket);
  AddTimeoutOption(rotate, rotate_options->timeout);
  AddOutputOption(rotate, rotate_options->output);
  RunWhenNamed(rotate, chosen, rotate_options, RunRotate);
}

}  // namespace lanyard
