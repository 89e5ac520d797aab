// lanyard validate jwt
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "node_agent/app/cli_options.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/text_output.h"
#include "node_agent/app/workload_call.h"
#include "pki/jws.h"
#include "pki/jwt_svid.h"

namespace lanyard {
namespace {

struct ValidateOptions {
  std::string socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
  std::string audience;
  std::string token;  // empty: from standard input
};

// To the end of the input, without the white space around it.
Result<std::string> ReadToken(std::istream& in) {
  constexpr std::size_t kMost = kMaxTokenBytes + 1024;  // room for white space
  std::string text(kMost, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() == kMost) return Error(StatusCode::kInvalidArgument, "it is too long for a token");
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return Error(StatusCode::kInvalidArgument, "it is empty");
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Those claims that the agent told: it keeps back what only means something in another trust domain. Their values are
// the token's own, since all numbers of the answer are floating point.
nlohmann::ordered_json ClaimsTold(const JwtSvid& svid, const google::protobuf::Struct& told) {
  const auto all = nlohmann::ordered_json::parse(svid.claims(), nullptr, false);
  auto claims = nlohmann::ordered_json::object();
  for (const auto& [name, value] : all.items()) {
    if (told.fields().contains(name)) claims[name] = value;
  }
  return claims;
}

void Print(const JwtSvid& svid, const nlohmann::ordered_json& claims, OutputFormat output, const Console& console) {
  if (output == OutputFormat::kJson) {
    return PrintJson(console, {{"spiffe_id", svid.id().str()}, {"claims", claims}});
  }
  console.out << svid.id().str() << '\n';
  for (const auto& [name, value] : claims.items()) {
    console.out << fmt::format("  {:<11}  {}\n", Printable(name), Printable(value.dump()));
  }
}

int RunJwt(const ValidateOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  const Result<std::string> token = options.token.empty() ? ReadToken(console.in) : options.token;
  if (!token.ok())
    return console.Fail(kExitUsage, fmt::format("read the token from standard input: {}", Message(token.status())));
  const Result<JwtSvid> svid = JwtSvid::ParseUnverified(*token);
  if (!svid.ok()) return console.Fail(kExitDenied, fmt::format("not valid: {}", Message(svid.status())));
  ValidateJWTSVIDRequest request;
  request.set_audience(options.audience);
  request.set_svid(svid->token());
  ValidateJWTSVIDResponse response;
  const grpc::Status status =
      AskWorkloadApi(*path, options.timeout, [&](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
        return stub.ValidateJWTSVID(&context, request, &response);
      });
  // Workload Endpoint §6, Workload API §6.2.3: this is how the agent says that the token does not count
  if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
    return console.Fail(kExitDenied, fmt::format("not valid: {}", Printable(status.error_message())));
  if (!status.ok()) {
    const CallFailure failure = ExplainWorkloadFailure(status, *path);
    return console.Fail(failure.code, failure.text);
  }
  if (response.spiffe_id() != svid->id().str()) {
    return console.Fail(kExitFailed, fmt::format("the agent's answer is about \"{}\", and the token about {}",
                                                 Printable(response.spiffe_id()), svid->id().str()));
  }
  Print(*svid, ClaimsTold(*svid, response.claims()), options.output, console);
  return kExitOk;
}

}  // namespace

void AddValidateVerbs(CLI::App& root, Verb& chosen) {
  CLI::App* validate = root.add_subcommand("validate", "Let the agent judge what somebody else has shown");
  validate->require_subcommand(1);

  auto options = std::make_shared<ValidateOptions>();
  CLI::App* jwt = validate->add_subcommand(
      "jwt", "Validate a JWT-SVID: its claims and exit code 0, or the reason why it does not count and exit code 4");
  jwt->add_option(
      "TOKEN", options->token,
      "The token. Better without: then it is read from standard input, and not shown to everybody who lists "
      "processes");
  jwt->add_option("--audience", options->audience, "Who you are: the token must be meant for you")
      ->required()
      ->check(CheckAudience)
      ->type_name("AUDIENCE");
  AddSocketOption(jwt, options->socket);
  AddTimeoutOption(jwt, options->timeout);
  AddOutputOption(jwt, options->output);
  RunWhenNamed(jwt, chosen, options, RunJwt);
}

}  // namespace lanyard
