// lanyard log-level
#include "node_agent/admin/proto/admin.grpc.pb.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/rpc_client.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/text_output.h"

namespace lanyard {
namespace {

struct LogLevelOptions {
  std::string level;
  std::string admin_socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
};

int RunLogLevel(const LogLevelOptions& options, const Console& console) {
  const Result<std::string> path = ResolveAdminSocket(options.admin_socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  admin::v1::Admin::Stub stub(Connect(*path));
  grpc::ClientContext context;
  SetDeadline(context, options.timeout);
  admin::v1::SetLogLevelRequest request;
  request.set_level(options.level);
  admin::v1::SetLogLevelResponse response;
  if (const grpc::Status status = stub.SetLogLevel(&context, request, &response); !status.ok()) {
    const CallFailure failure = ExplainAdminFailure(status, *path);
    return console.Fail(failure.code, failure.text);
  }
  if (options.output == OutputFormat::kJson) {
    PrintJson(console, {{"level", response.level()}, {"before", response.before()}});
  } else if (options.level.empty()) {
    console.out << Printable(response.level()) << '\n';
  } else {
    console.out << fmt::format("{} (was {}); until the configuration is read again\n", Printable(response.level()),
                               Printable(response.before()));
  }
  return kExitOk;
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
