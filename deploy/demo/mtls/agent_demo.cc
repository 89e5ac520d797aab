// lanyard-demo-agent: an AI agent that calls a tool. Talks only to the tool that it was told to expect.
//
// Calls once with its first identity, then waits for --rotations more and calls again with each new one. Without
// --connect it only fetches its identity. Exit codes: 0, 4 when it was refused an identity, 3 when the node agent
// cannot be reached, 1 for everything else.
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>

#include "deploy/demo/mtls/demo_exit.h"
#include "deploy/demo/mtls/tls_connection.h"
#include "workload_api/client/client.h"

namespace lanyard::demo {
namespace {

struct Options {
  std::string socket;
  std::string connect;
  std::string peer_id;
  std::size_t rotations = 0;
  int patience = 60;
};

void Say(const std::string& text) {
  std::cout << "agent: " << text << std::endl;
}

Status CallTool(const TlsContext& context, const std::string& address) {
  ASSIGN_OR_RETURN(UniqueFd socket, Connect(address));
  ASSIGN_OR_RETURN(TlsConnection connection, TlsConnection::Handshake(context, std::move(socket), TlsRole::kClient));
  Say(fmt::format("{} proved to be {}", address, connection.peer().str()));
  ASSIGN_OR_RETURN(std::string greeting, connection.ReadLine());
  Say(fmt::format("it knows me (\"{}\"), so now I ask", greeting));
  RETURN_IF_ERROR(connection.WriteLine("where is order 4711?"));
  ASSIGN_OR_RETURN(std::string answer, connection.ReadLine());
  Say(fmt::format("answer: \"{}\"", answer));
  return OkStatus();
}

// The SVID that takes the place of `old`.
Result<X509Svid> WaitForRotation(const X509Source& source, const X509Svid& old, std::chrono::seconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (std::uint64_t version = 0;;) {
    const auto left = std::chrono::floor<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    ASSIGN_OR_RETURN(const X509Source::SnapshotPtr next, source.WaitNewer(version, left));
    version = next->version;
    ASSIGN_OR_RETURN(X509Svid svid, source.Svid());
    if (svid.serial_hex() != old.serial_hex()) return svid;
  }
}

Status Run(const Options& options) {
  const std::chrono::seconds patience(options.patience);
  ASSIGN_OR_RETURN(const auto client, WorkloadClient::Create(options.socket));
  ASSIGN_OR_RETURN(const auto source, X509Source::Create(client));
  RETURN_IF_ERROR(source->WaitReady(patience, IfDenied::kReturn));
  ASSIGN_OR_RETURN(X509Svid svid, source->Svid());
  Say("I am " + Describe(svid));
  if (options.connect.empty()) return OkStatus();

  ASSIGN_OR_RETURN(SpiffeId expected, SpiffeId::Parse(options.peer_id));
  ASSIGN_OR_RETURN(
      const TlsContext context,
      TlsContext::Create({.role = TlsRole::kClient, .source = source, .authorize = AuthorizeId(std::move(expected))}));
  RETURN_IF_ERROR(CallTool(context, options.connect));
  for (std::size_t round = 0; round < options.rotations; ++round) {
    ASSIGN_OR_RETURN(svid, WaitForRotation(*source, svid, patience));
    Say("my identity rotated: " + Describe(svid));
    RETURN_IF_ERROR(CallTool(context, options.connect));
  }
  return OkStatus();
}

}  // namespace
}  // namespace lanyard::demo

int main(int argc, char** argv) {
  lanyard::demo::Options options;
  CLI::App app("An agent that calls a tool over mutual TLS");
  app.add_option("--socket", options.socket, "Workload API, unix:///path");
  auto* peer_id = app.add_option("--peer-id", options.peer_id, "SPIFFE ID that the tool must have");
  app.add_option("--connect", options.connect, "address and port of the tool; without it, only fetch")->needs(peer_id);
  app.add_option("--rotations", options.rotations, "call again after so many rotations")->capture_default_str();
  app.add_option("--patience", options.patience, "seconds to wait for each identity")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  const lanyard::Status status = lanyard::demo::Run(options);
  return status.ok() ? 0 : lanyard::demo::Report(status);
}
