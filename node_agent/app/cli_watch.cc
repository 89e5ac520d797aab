// lanyard watch
#include <nlohmann/json.hpp>

#include "node_agent/app/cli_options.h"
#include "node_agent/app/crl_output.h"
#include "node_agent/app/rpc_client.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/stop_signal.h"
#include "node_agent/app/text_output.h"
#include "node_agent/base/duration.h"
#include "workload_api/client/backoff.h"
#include "workload_api/client/fetched.h"
#include "workload_api/client/fetched_tokens.h"
#include "workload_api/client/workload_channel.h"
#include "workload_api/proto/workloadapi.grpc.pb.h"

namespace lanyard {
namespace {

struct WatchOptions {
  std::string what = "x509";
  std::string socket;
  uint64_t count = 0;  // 0: until stopped
  OutputFormat output = OutputFormat::kText;
};

// One update, as JSON and as text for people.
struct Update {
  nlohmann::json json;
  std::string text;
};

Update Describe(const FetchedSvids& fetched) {
  nlohmann::json svids = nlohmann::json::array(), federated = nlohmann::json::array();
  std::vector<std::string> parts;
  for (const FetchedSvid& one : fetched.svids) {
    svids.push_back({{"spiffe_id", one.svid.id().str()},
                     {"hint", one.hint},
                     {"serial", one.svid.serial_hex()},
                     {"not_before", Utc(one.svid.not_before())},
                     {"not_after", Utc(one.svid.not_after())},
                     {"authorities", one.bundle.x509_authorities().size()}});
    const std::string hint = one.hint.empty() ? "" : fmt::format(" hint {}", Printable(one.hint));
    parts.push_back(fmt::format("{}{} serial {} until {}", one.svid.id().str(), hint, one.svid.serial_hex(),
                                Utc(one.svid.not_after())));
  }
  for (const auto& [trust_domain, bundle] : fetched.federated.all()) {
    federated.push_back(trust_domain.id());
    parts.push_back("federated " + trust_domain.id());
  }
  return {{{"svids", std::move(svids)}, {"federated", std::move(federated)}}, Join(parts, "; ")};
}

// `names(bundle)` are those of the authorities that are followed, and `what` says what they are.
template <class Names>
Update Describe(const BundleSet& bundles, std::string_view what, Names names) {
  nlohmann::json list = nlohmann::json::array();
  std::vector<std::string> parts;
  for (const auto& [trust_domain, bundle] : bundles.all()) {
    const std::vector<std::string> authorities = names(bundle);
    list.push_back({{"trust_domain", trust_domain.id()}, {"authorities", authorities}});
    parts.push_back(fmt::format("{} {}: {} {}", trust_domain.id(),
                                Count(authorities.size(), "authority", "authorities"), what,
                                Printable(Join(authorities, " "))));
  }
  return {{{"bundles", std::move(list)}}, Join(parts, "; ")};
}

std::vector<std::string> Serials(const Bundle& bundle) {
  std::vector<std::string> serials;
  for (const Certificate& authority : bundle.x509_authorities()) serials.push_back(authority.serial_hex());
  return serials;
}

std::vector<std::string> JwtKeyIds(const Bundle& bundle) {
  std::vector<std::string> ids;
  for (const JwtAuthority& authority : bundle.jwt_authorities()) ids.push_back(authority.key_id());
  return ids;
}

// The first attempt must bring an update: a wrong socket or a missing entry is told at once. After that the watch goes
// on until it is stopped: it says when the stream ends, and comes back, unless the agent refuses the request itself.
template <class Response>
class Watch {
 public:
  using Open =
      std::function<std::unique_ptr<grpc::ClientReader<Response>>(SpiffeWorkloadAPI::Stub&, grpc::ClientContext&)>;
  using PrintUpdate = std::function<Status(const Response&)>;

  Watch(std::string path, uint64_t count, Open open, PrintUpdate print, const Console& console)
      : path_(std::move(path)), count_(count), open_(std::move(open)), print_(std::move(print)), console_(console) {}

  int Run() {
    while (true) {
      const grpc::Status status = FollowOnce();
      if (stop_.stopped() || Complete() || !console_.out) return kExitOk;
      const CallFailure failure = ExplainWorkloadFailure(status, path_);
      if (updates_ == 0 || IsFinal(StatusOf(status))) return console_.Fail(failure.code, failure.text);
      const auto delay = backoff_.Next();
      console_.err << fmt::format("lanyard: {}; trying again in {}\n", failure.text, FormatDuration(delay));
      stop_.WaitFor(delay);
      if (stop_.stopped()) return kExitOk;
    }
  }

 private:
  bool Complete() const { return count_ != 0 && updates_ >= count_; }

  grpc::Status FollowOnce() {
    SpiffeWorkloadAPI::Stub stub(Connect(path_));
    grpc::ClientContext context;
    PrepareCall(context);
    const StopSignal::Listener cancel(stop_, [&context] { context.TryCancel(); });
    const auto reader = open_(stub, context);
    Response response;
    while (!Complete() && console_.out && reader->Read(&response)) {
      if (const Status printed = print_(response); !printed.ok()) {
        context.TryCancel();
        static_cast<void>(reader->Finish());
        return grpc::Status(grpc::StatusCode::DATA_LOSS, std::string(Message(printed)));
      }
      ++updates_;
      backoff_.Reset();
    }
    if (Complete() || !console_.out) context.TryCancel();
    const grpc::Status status = reader->Finish();
    return status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the agent ended the stream") : status;
  }

  StopSignal stop_;  // first: its thread begins before gRPC's
  const std::string path_;
  const uint64_t count_;
  const Open open_;
  const PrintUpdate print_;
  const Console& console_;
  uint64_t updates_ = 0;
  Backoff backoff_;
};

// Adds the revocation lists that came with it, and whether they are others than before.
void AddCrls(const std::vector<Crl>& crls, CrlChange& change, Update& update) {
  const bool others = change.Note(crls);
  update.json["crl"] = CrlsAsJson(crls);
  update.json["crl_changed"] = others;
  update.text += fmt::format("; {}{}", SummarizeCrls(crls), others ? " (changed)" : "");
}

void PrintLine(Update update, const WatchOptions& options, const Console& console) {
  const std::string now = Utc(std::chrono::system_clock::now());
  if (options.output == OutputFormat::kJson) {
    update.json["time"] = now;
    update.json["kind"] = options.what;
    PrintJsonLine(console, update.json);
  } else {
    console.out << fmt::format("{} {} {}\n", now, options.what, update.text) << std::flush;
  }
}

int WatchX509(const std::string& path, const WatchOptions& options, const Console& console) {
  CrlChange change;
  return Watch<X509SVIDResponse>(
             path, options.count,
             [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
               return stub.FetchX509SVID(&context, X509SVIDRequest());
             },
             [&](const X509SVIDResponse& response) -> Status {
               ASSIGN_OR_RETURN(const FetchedSvids fetched, CheckSvids(response, std::chrono::system_clock::now()));
               Update update = Describe(fetched);
               AddCrls(fetched.crls, change, update);
               PrintLine(std::move(update), options, console);
               return OkStatus();
             },
             console)
      .Run();
}

int WatchBundle(const std::string& path, const WatchOptions& options, const Console& console) {
  CrlChange change;
  return Watch<X509BundlesResponse>(
             path, options.count,
             [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
               return stub.FetchX509Bundles(&context, X509BundlesRequest());
             },
             [&](const X509BundlesResponse& response) -> Status {
               ASSIGN_OR_RETURN(const BundleSet bundles, CheckBundles(response));
               ASSIGN_OR_RETURN(const std::vector<Crl> crls, CheckCrls(response));
               Update update = Describe(bundles, "serial", Serials);
               AddCrls(crls, change, update);
               PrintLine(std::move(update), options, console);
               return OkStatus();
             },
             console)
      .Run();
}

int WatchJwt(const std::string& path, const WatchOptions& options, const Console& console) {
  return Watch<JWTBundlesResponse>(
             path, options.count,
             [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
               return stub.FetchJWTBundles(&context, JWTBundlesRequest());
             },
             [&](const JWTBundlesResponse& response) -> Status {
               ASSIGN_OR_RETURN(const BundleSet bundles, CheckJwtBundles(response));
               PrintLine(Describe(bundles, "key ID", JwtKeyIds), options, console);
               return OkStatus();
             },
             console)
      .Run();
}

int RunWatch(const WatchOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  if (options.what == "bundle") return WatchBundle(*path, options, console);
  if (options.what == "jwt") return WatchJwt(*path, options, console);
  return WatchX509(*path, options, console);
}

}  // namespace

void AddWatchVerb(CLI::App& root, Verb& chosen) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* watch = root.add_subcommand(
      "watch", "Follow this process's identity or the authorities: one line per update, until SIGINT or SIGTERM");
  watch
      ->add_option("WHAT", options->what,
                   "What to follow: x509, the X.509-SVIDs; bundle, the X.509 authorities; jwt, those of JWT-SVIDs")
      ->check(CLI::IsMember({"x509", "bundle", "jwt"}))
      ->default_str("x509");
  watch->add_option("--count", options->count, "End after so many updates")->check(CLI::PositiveNumber)->type_name("N");
  AddSocketOption(watch, options->socket);
  AddOutputOption(watch, options->output);
  RunWhenNamed(watch, chosen, options, RunWatch);
}

}  // namespace lanyard
