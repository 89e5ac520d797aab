// lanyard-demo-tool: a tool that AI agents call. Lets in only the agent that it was told to expect.
//
// Serves until it is stopped, or until --calls were answered. Each connection is judged with the newest identity, so
// rotation needs no restart. Prints "listening on ADDRESS" once it can be called.
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
  std::string listen = "127.0.0.1:0";
  std::string peer_id;
  int calls = 0;  // 0: until stopped
};

void Say(const std::string& text) {
  std::cout << "tool:  " << text << std::endl;
}

Status Answer(const TlsContext& context, UniqueFd socket) {
  ASSIGN_OR_RETURN(TlsConnection connection, TlsConnection::Handshake(context, std::move(socket), TlsRole::kServer));
  Say(fmt::format("the caller proved to be {}; greeting it", connection.peer().str()));
  RETURN_IF_ERROR(connection.WriteLine("hello " + connection.peer().str()));
  ASSIGN_OR_RETURN(std::string request, connection.ReadLine());
  Say(fmt::format("asked \"{}\", answering", request));
  return connection.WriteLine("order 4711 is on its way");
}

Status Serve(const Options& options) {
  ASSIGN_OR_RETURN(SpiffeId expected, SpiffeId::Parse(options.peer_id));
  ASSIGN_OR_RETURN(const auto client, WorkloadClient::Create(options.socket));
  ASSIGN_OR_RETURN(const auto source, X509Source::Create(client));
  RETURN_IF_ERROR(source->WaitReady(std::chrono::seconds(10), IfDenied::kReturn));
  ASSIGN_OR_RETURN(const X509Svid svid, source->Svid());
  Say("I am " + Describe(svid));
  ASSIGN_OR_RETURN(
      const TlsContext context,
      TlsContext::Create({.role = TlsRole::kServer, .source = source, .authorize = AuthorizeId(std::move(expected))}));
  ASSIGN_OR_RETURN(UniqueFd listener, Listen(options.listen));
  ASSIGN_OR_RETURN(std::string address, LocalAddress(listener.get()));
  Say("listening on " + address);
  for (int answered = 0; options.calls == 0 || answered < options.calls;) {
    ASSIGN_OR_RETURN(UniqueFd socket, Accept(listener.get()));
    const Status status = Answer(context, std::move(socket));
    if (status.ok()) {
      ++answered;
    } else {
      Say("refused a caller: " + std::string(Message(status)));
    }
  }
  return OkStatus();
}

}  // namespace
}  // namespace lanyard::demo

int main(int argc, char** argv) {
  lanyard::demo::Options options;
  CLI::App app("A tool that answers one agent over mutual TLS");
  app.add_option("--socket", options.socket, "Workload API, unix:///path");
  app.add_option("--listen", options.listen, "address and port to listen on")->capture_default_str();
  app.add_option("--peer-id", options.peer_id, "SPIFFE ID of the agent that may call")->required();
  app.add_option("--calls", options.calls, "end after so many answered calls; 0: serve until stopped")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  const lanyard::Status status = lanyard::demo::Serve(options);
  return status.ok() ? 0 : lanyard::demo::Report(status);
}
