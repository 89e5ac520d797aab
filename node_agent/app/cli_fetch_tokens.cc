// lanyard fetch jwt, fetch wit
#include <nlohmann/json.hpp>

#include "node_agent/app/choose_identity.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/text_output.h"
#include "node_agent/app/workload_call.h"
#include "node_agent/app/write_set.h"
#include "pki/secret_bytes.h"
#include "workload_api/client/fetched_tokens.h"

namespace lanyard {
namespace {

using SystemTime = std::chrono::system_clock::time_point;

struct TokenOptions {
  std::string socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
  std::string spiffe_id;
  std::vector<std::string> audiences;  // jwt
  std::string write;                   // wit: the directory
};

nlohmann::json SvidAsJson(const FetchedJwtSvid& fetched) {
  return {{"spiffe_id", fetched.svid.id().str()},
          {"hint", fetched.hint},
          {"audience", fetched.svid.audiences()},
          {"expires_at", Utc(fetched.svid.expires())},
          {"token", fetched.svid.token()}};
}

nlohmann::json SvidAsJson(const FetchedWitSvid& fetched) {
  return {{"spiffe_id", fetched.svid.id().str()},
          {"hint", fetched.hint},
          {"expires_at", Utc(fetched.svid.expires())},
          {"key_type", KeyTypeName(fetched.svid.key().type())},
          {"token", fetched.svid.token()}};
}

// Text is the tokens and nothing else, to be taken by a shell. Whoever holds one can use it.
void PrintText(const std::vector<FetchedJwtSvid>& svids, const Console& console) {
  if (svids.size() > 1)
    console.err << "lanyard: these are the tokens of several identities; one is had with --spiffe-id\n";
  for (const FetchedJwtSvid& one : svids) console.out << one.svid.token() << '\n';
}

void PrintText(const std::vector<FetchedWitSvid>& svids, const Console& console) {
  const SystemTime now = std::chrono::system_clock::now();
  for (const FetchedWitSvid& one : svids) {
    const WitSvid& svid = one.svid;
    console.out << svid.id().str() << '\n';
    if (!one.hint.empty()) console.out << "  hint         " << Printable(one.hint) << '\n';
    console.out << fmt::format("  valid until  {} ({})\n  key          {}\n", Utc(svid.expires()),
                               FormatDistance(svid.expires(), now), KeyTypeName(svid.key().type()));
  }
}

template <class Fetched>
void Print(const std::vector<Fetched>& svids, OutputFormat output, const Console& console) {
  if (output == OutputFormat::kText) return PrintText(svids, console);
  nlohmann::json list = nlohmann::json::array();
  for (const Fetched& one : svids) list.push_back(SvidAsJson(one));
  PrintJson(console, {{"svids", std::move(list)}});
}

int RunJwt(const TokenOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  const Result<std::optional<SpiffeId>> wanted = ReadSpiffeIdOption(options.spiffe_id);
  if (!wanted.ok()) return console.Fail(kExitUsage, Message(wanted.status()));
  JWTSVIDRequest request;
  request.mutable_audience()->Assign(options.audiences.begin(), options.audiences.end());
  request.set_spiffe_id(options.spiffe_id);
  JWTSVIDResponse response;
  const grpc::Status status =
      AskWorkloadApi(*path, options.timeout, [&](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
        return stub.FetchJWTSVID(&context, request, &response);
      });
  if (!status.ok()) {
    const CallFailure failure = ExplainWorkloadFailure(status, *path, options.spiffe_id);
    return console.Fail(failure.code, failure.text);
  }
  Result<std::vector<FetchedJwtSvid>> svids =
      CheckJwtSvids(response, options.audiences, std::chrono::system_clock::now());
  if (!svids.ok()) return console.Fail(svids.status());
  if (wanted->has_value()) {
    if (const Status chosen = ChooseIdentity(**wanted, *svids); !chosen.ok())
      return console.Fail(kExitDenied, Message(chosen));
  }
  Print(*svids, options.output, console);
  return kExitOk;
}

Result<std::vector<FetchedWitSvid>> CheckAndForget(WITSVIDResponse& response) {
  Result<std::vector<FetchedWitSvid>> svids = CheckWitSvids(response, std::chrono::system_clock::now());
  for (WITSVID& svid : *response.mutable_svids()) {
    WipeMemory(svid.mutable_wit_svid_key()->data(), svid.wit_svid_key().size());
  }
  return svids;
}

// Both for their owner alone: a careless verifier takes the token without the proof that goes with it.
Status WriteFiles(const std::string& directory, const WitSvid& svid) {
  ASSIGN_OR_RETURN(const SecretBytes key, svid.key().ToPem());
  return WriteSet(directory, {{"wit-svid.jwt", svid.token(), 0600}, {"wit-svid.key", key.expose(), 0600}});
}

int RunWit(const TokenOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  const Result<std::optional<SpiffeId>> wanted = ReadSpiffeIdOption(options.spiffe_id);
  if (!wanted.ok()) return console.Fail(kExitUsage, Message(wanted.status()));
  WITSVIDRequest request;
  request.set_spiffe_id(options.spiffe_id);
  WITSVIDResponse response;
  const grpc::Status status = ReadFirst(
      *path, options.timeout,
      [&](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) { return stub.FetchWITSVID(&context, request); },
      response);
  if (!status.ok()) {
    const CallFailure failure = ExplainWorkloadFailure(status, *path, options.spiffe_id);
    return console.Fail(failure.code, failure.text);
  }
  Result<std::vector<FetchedWitSvid>> svids = CheckAndForget(response);
  if (!svids.ok()) return console.Fail(svids.status());
  if (wanted->has_value()) {
    if (const Status chosen = ChooseIdentity(**wanted, *svids); !chosen.ok())
      return console.Fail(kExitDenied, Message(chosen));
  }
  if (!options.write.empty()) {
    if (const Status written = WriteFiles(options.write, svids->front().svid); !written.ok())
      return console.Fail(written);
  }
  Print(*svids, options.output, console);
  return kExitOk;
}

}  // namespace

void AddFetchTokenVerbs(CLI::App& fetch, Verb& chosen) {
  auto jwt_options = std::make_shared<TokenOptions>();
  CLI::App* jwt = fetch.add_subcommand(
      "jwt", "Fetch JWT-SVIDs; text is the tokens alone, one a line. Whoever holds one can use it until it expires");
  jwt->add_option("--audience", jwt_options->audiences, "Whom it is for; again for each further one")
      ->required()
      ->allow_extra_args(false)
      ->check(CheckAudience)
      ->type_name("AUDIENCE");
  jwt->add_option("--spiffe-id", jwt_options->spiffe_id, "This identity instead of all")->type_name("ID");
  AddSocketOption(jwt, jwt_options->socket);
  AddTimeoutOption(jwt, jwt_options->timeout);
  AddOutputOption(jwt, jwt_options->output);
  RunWhenNamed(jwt, chosen, jwt_options, RunJwt);

  auto wit_options = std::make_shared<TokenOptions>();
  CLI::App* wit = fetch.add_subcommand("wit", "Fetch WIT-SVIDs; the private key is only written with --write");
  wit->add_option("--write", wit_options->write,
                  "Put wit-svid.jwt and wit-svid.key (PEM), both 0600, into DIR, as a set: links to files that are "
                  "swapped at once")
      ->type_name("DIR");
  wit->add_option("--spiffe-id", wit_options->spiffe_id,
                  "This identity instead of all; --write takes the first without it")
      ->type_name("ID");
  AddSocketOption(wit, wit_options->socket);
  AddTimeoutOption(wit, wit_options->timeout);
  AddOutputOption(wit, wit_options->output);
  RunWhenNamed(wit, chosen, wit_options, RunWit);
}

}  // namespace lanyard
