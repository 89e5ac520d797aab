// lanyard fetch x509, fetch bundle
#include <nlohmann/json.hpp>

#include "node_agent/app/choose_identity.h"
#include "node_agent/app/cli_options.h"
#include "node_agent/app/crl_output.h"
#include "node_agent/app/socket_address.h"
#include "node_agent/app/svid_files.h"
#include "node_agent/app/text_output.h"
#include "node_agent/app/workload_call.h"
#include "workload_api/client/fetched.h"
#include "workload_api/client/fetched_tokens.h"

namespace lanyard {
namespace {

using SystemTime = std::chrono::system_clock::time_point;

struct FetchOptions {
  std::string socket;
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
  OutputFormat output = OutputFormat::kText;
  std::string write;         // the directory
  std::string spiffe_id;     // x509
  std::string trust_domain;  // bundle
};

nlohmann::json SvidAsJson(const FetchedSvid& fetched) {
  return {{"spiffe_id", fetched.svid.id().str()},       {"hint", fetched.hint},
          {"serial", fetched.svid.serial_hex()},        {"not_before", Utc(fetched.svid.not_before())},
          {"not_after", Utc(fetched.svid.not_after())}, {"key_type", KeyTypeName(fetched.svid.key().type())},
          {"x509_svid", fetched.svid.ChainPem()},       {"bundle", fetched.bundle.X509Pem()}};
}

void PrintAsJson(const FetchedSvids& fetched, const Console& console) {
  nlohmann::json svids = nlohmann::json::array();
  for (const FetchedSvid& svid : fetched.svids) svids.push_back(SvidAsJson(svid));
  nlohmann::json federated = nlohmann::json::object();
  for (const auto& [trust_domain, bundle] : fetched.federated.all()) federated[trust_domain.id()] = bundle.X509Pem();
  PrintJson(
      console,
      {{"svids", std::move(svids)}, {"federated_bundles", std::move(federated)}, {"crl", CrlsAsJson(fetched.crls)}});
}

void PrintAsText(const FetchedSvids& fetched, SystemTime now, const Console& console) {
  for (const FetchedSvid& one : fetched.svids) {
    const X509Svid& svid = one.svid;
    console.out << svid.id().str() << '\n';
    if (!one.hint.empty()) console.out << "  hint         " << Printable(one.hint) << '\n';
    console.out << fmt::format(
        "  serial       {}\n  valid from   {}\n  valid until  {} ({})\n  key          {}\n  chain        {}\n  bundle  "
        "     {}\n",
        svid.serial_hex(), Utc(svid.not_before()), Utc(svid.not_after()), FormatDistance(svid.not_after(), now),
        KeyTypeName(svid.key().type()), Count(svid.chain().size(), "certificate", "certificates"),
        Count(one.bundle.x509_authorities().size(), "authority", "authorities"));
  }
  for (const auto& [trust_domain, bundle] : fetched.federated.all()) {
    console.out << fmt::format("federated {}: {}\n", trust_domain.id(),
                               Count(bundle.x509_authorities().size(), "authority", "authorities"));
  }
  console.out << SummarizeCrls(fetched.crls) << '\n';
}

Status WriteFiles(const std::string& directory, const FetchedSvids& fetched, const Console& console) {
  ASSIGN_OR_RETURN(const SvidFiles files, SvidFiles::Make(fetched.svids.front(), fetched));
  for (const std::string& name : files.left_out()) {
    console.err << fmt::format("lanyard: the bundle of {} is not written: its name is too long for a file's\n", name);
  }
  return WriteSet(directory, files.files());
}

Result<FetchedSvids> CheckAndForget(X509SVIDResponse& response, SystemTime now) {
  Result<FetchedSvids> fetched = CheckSvids(response, now);
  WipeKeys(response);
  return fetched;
}

int RunX509(const FetchOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  const Result<std::optional<SpiffeId>> wanted = ReadSpiffeIdOption(options.spiffe_id);
  if (!wanted.ok()) return console.Fail(kExitUsage, Message(wanted.status()));
  X509SVIDResponse response;
  const grpc::Status status = ReadFirst(
      *path, options.timeout,
      [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
        return stub.FetchX509SVID(&context, X509SVIDRequest());
      },
      response);
  if (!status.ok()) {
    const CallFailure failure = ExplainWorkloadFailure(status, *path);
    return console.Fail(failure.code, failure.text);
  }
  const SystemTime now = std::chrono::system_clock::now();
  Result<FetchedSvids> fetched = CheckAndForget(response, now);
  if (!fetched.ok()) return console.Fail(fetched.status());
  if (wanted->has_value()) {
    if (const Status chosen = ChooseIdentity(**wanted, fetched->svids); !chosen.ok())
      return console.Fail(kExitDenied, Message(chosen));
  }
  if (!options.write.empty()) {
    if (const Status written = WriteFiles(options.write, *fetched, console); !written.ok())
      return console.Fail(written);
  }
  if (options.output == OutputFormat::kJson) {
    PrintAsJson(*fetched, console);
  } else {
    PrintAsText(*fetched, now, console);
  }
  return kExitOk;
}

// Lists stay out of what is printed: in a trust store they would turn checks on in some programs, and end one day.
Status WriteBundle(const std::string& directory, const BundleSet& bundles, const std::vector<Crl>& crls) {
  const std::string bundle = bundles.all().begin()->second.X509Pem();
  const std::string lists = CrlsPem(crls);
  return WriteSet(directory, {{"bundle.pem", bundle, 0644}, {"crl.pem", lists, 0644}});
}

// Text is PEM, to be redirected into a file.
void PrintBundles(const BundleSet& bundles, OutputFormat output, const Console& console) {
  nlohmann::json documents = nlohmann::json::object();
  for (const auto& [trust_domain, bundle] : bundles.all()) {
    if (output == OutputFormat::kText) {
      console.out << fmt::format("# {}: {}\n", trust_domain.id(),
                                 Count(bundle.x509_authorities().size(), "authority", "authorities"))
                  << bundle.X509Pem();
    } else {
      documents[trust_domain.id()] = nlohmann::json::parse(bundle.ToDocument(), nullptr, false);
    }
  }
  if (output == OutputFormat::kJson) PrintJson(console, documents);
}

// Whoever asks for X.509 authorities gets them from an agent that does not serve those of tokens, or cannot now: such
// an agent has none of this kind, which is said on err. Any other failure is one.
template <class Response, class Open, class Check>
std::optional<CallFailure> ReadTokenBundles(const std::string& path, const FetchOptions& options, std::string_view kind,
                                            Open open, Check check, const Console& console, BundleSet& bundles) {
  Response response;
  const grpc::Status status = ReadFirst(path, options.timeout, open, response);
  if (!status.ok()) {
    CallFailure failure = ExplainWorkloadFailure(status, path);
    if (status.error_code() != grpc::StatusCode::UNIMPLEMENTED && status.error_code() != grpc::StatusCode::UNAVAILABLE)
      return failure;
    console.err << fmt::format("lanyard: the documents are without the keys for {}: {}\n", kind, failure.text);
    return std::nullopt;
  }
  Result<BundleSet> checked = check(response);
  if (!checked.ok()) return CallFailure{kExitFailed, std::string(Message(checked.status()))};
  bundles = *std::move(checked);
  return std::nullopt;
}

// Each trust domain's authorities of all kinds in one bundle.
Result<BundleSet> Unite(const BundleSet& x509, const BundleSet& jwt, const BundleSet& wit) {
  struct Authorities {
    std::vector<Certificate> x509;
    TokenAuthorities tokens;
  };
  std::map<TrustDomain, Authorities> all;
  for (const auto& [trust_domain, bundle] : x509.all()) all[trust_domain].x509 = bundle.x509_authorities();
  for (const auto& [trust_domain, bundle] : jwt.all()) all[trust_domain].tokens.jwt = bundle.jwt_authorities();
  for (const auto& [trust_domain, bundle] : wit.all()) all[trust_domain].tokens.wit = bundle.wit_authorities();
  BundleSet united;
  for (auto& [trust_domain, authorities] : all) {
    ASSIGN_OR_RETURN(Bundle bundle, Bundle::Create(trust_domain, std::move(authorities.x509), {}, authorities.tokens));
    united.Put(std::move(bundle));
  }
  return united;
}

std::optional<CallFailure> AddTokenBundles(const std::string& path, const FetchOptions& options, const Console& console,
                                           BundleSet& bundles) {
  BundleSet jwt, wit;
  auto failure = ReadTokenBundles<JWTBundlesResponse>(
      path, options, "JWT-SVIDs",
      [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
        return stub.FetchJWTBundles(&context, JWTBundlesRequest());
      },
      CheckJwtBundles, console, jwt);
  if (failure) return failure;
  failure = ReadTokenBundles<WITBundlesResponse>(
      path, options, "WIT-SVIDs",
      [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
        return stub.FetchWITBundles(&context, WITBundlesRequest());
      },
      CheckWitBundles, console, wit);
  if (failure) return failure;
  Result<BundleSet> united = Unite(bundles, jwt, wit);
  if (!united.ok()) return CallFailure{kExitFailed, std::string(Message(united.status()))};
  bundles = *std::move(united);
  return std::nullopt;
}

int RunBundle(const FetchOptions& options, const Console& console) {
  const Result<std::string> path = ResolveWorkloadSocket(options.socket);
  if (!path.ok()) return console.Fail(kExitUsage, Message(path.status()));
  std::optional<TrustDomain> wanted;
  if (!options.trust_domain.empty()) {
    const Result<TrustDomain> trust_domain = TrustDomain::Parse(options.trust_domain);
    if (!trust_domain.ok())
      return console.Fail(kExitUsage, fmt::format("--trust-domain: {}", Message(trust_domain.status())));
    wanted = *trust_domain;
  }
  X509BundlesResponse response;
  const grpc::Status status = ReadFirst(
      *path, options.timeout,
      [](SpiffeWorkloadAPI::Stub& stub, grpc::ClientContext& context) {
        return stub.FetchX509Bundles(&context, X509BundlesRequest());
      },
      response);
  if (!status.ok()) {
    const CallFailure failure = ExplainWorkloadFailure(status, *path);
    return console.Fail(failure.code, failure.text);
  }
  Result<BundleSet> bundles = CheckBundles(response);
  if (!bundles.ok()) return console.Fail(bundles.status());
  const Result<std::vector<Crl>> crls = CheckCrls(response);
  if (!crls.ok()) return console.Fail(crls.status());
  if (options.output == OutputFormat::kJson) {
    if (const auto failure = AddTokenBundles(*path, options, console, *bundles))
      return console.Fail(failure->code, failure->text);
  }
  if (wanted) {
    const Bundle* chosen = bundles->Find(*wanted);
    if (chosen == nullptr)
      return console.Fail(kExitFailed, fmt::format("the agent has no bundle of {} for this process", wanted->id()));
    *bundles = BundleSet({*chosen});
  } else if (bundles->all().size() > 1 && options.output == OutputFormat::kText) {
    console.err << "lanyard: these are the authorities of several trust domains; a trust store holds those of one "
                   "(--trust-domain)\n";
  }
  if (!options.write.empty()) {
    if (bundles->all().size() != 1)
      return console.Fail(kExitFailed,
                          "--write takes the bundle of one trust domain, and there are several; name it "
                          "(--trust-domain)");
    if (const Status written = WriteBundle(options.write, *bundles, *crls); !written.ok()) return console.Fail(written);
  }
  PrintBundles(*bundles, options.output, console);
  return kExitOk;
}

}  // namespace

void AddFetchVerbs(CLI::App& root, Verb& chosen) {
  CLI::App* fetch =
      root.add_subcommand("fetch", "Ask the agent once for this process's identity, or for the trust bundle");
  fetch->require_subcommand(1);

  auto x509_options = std::make_shared<FetchOptions>();
  CLI::App* x509 = fetch->add_subcommand("x509", "Fetch X.509-SVIDs; the private key is only written with --write");
  x509->add_option(
          "--write", x509_options->write,
          "Put svid.pem, svid.key (0600), bundle.pem, crl.pem and each trust domain's TD.spiffe-trust-bundle.pem into "
          "DIR, as a set: links to files that are swapped at once")
      ->type_name("DIR");
  x509->add_option("--spiffe-id", x509_options->spiffe_id,
                   "This identity instead of all; --write takes the first without it")
      ->type_name("ID");
  AddSocketOption(x509, x509_options->socket);
  AddTimeoutOption(x509, x509_options->timeout);
  AddOutputOption(x509, x509_options->output);
  RunWhenNamed(x509, chosen, x509_options, RunX509);

  auto bundle_options = std::make_shared<FetchOptions>();
  CLI::App* bundle = fetch->add_subcommand(
      "bundle", "Fetch the X.509 authorities as PEM, or (json) all authorities as SPIFFE bundle documents");
  bundle
      ->add_option("--write", bundle_options->write,
                   "Put bundle.pem and crl.pem (the revocation lists) into DIR, as a set")
      ->type_name("DIR");
  bundle->add_option("--trust-domain", bundle_options->trust_domain, "Only this one's")->type_name("NAME");
  AddSocketOption(bundle, bundle_options->socket);
  AddTimeoutOption(bundle, bundle_options->timeout);
  AddOutputOption(bundle, bundle_options->output);
  RunWhenNamed(bundle, chosen, bundle_options, RunBundle);

  AddFetchTokenVerbs(*fetch, chosen);
}

}  // namespace lanyard
