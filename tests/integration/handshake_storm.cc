// Mutual TLS handshakes with both ends in this process, spread over a time in which identities rotate: how many failed,
// and how many SVIDs were seen at the other end. Prints JSON.
//
//   handshake_storm SOCKET CLIENT-ID SERVER-ID COUNT SECONDS
//
// Two threads use the same two contexts at once, as a server's threads do.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/tls_in_memory.h"
#include "workload_api/client/client.h"

namespace lanyard {
namespace {

std::shared_ptr<X509Source> SourceOf(const std::shared_ptr<WorkloadClient>& client, const char* id) {
  return X509Source::Create(client, {.id = SpiffeId::Parse(id).value(), .hint = ""}).value();
}

struct Seen {
  std::mutex mutex;  // guards what follows
  std::set<std::string> serials;
  std::string first_failure;
  int failed = 0;

  void Take(testing::Connection& connection) {
    const X509Ptr peer(SSL_get1_peer_certificate(connection.client.get()));
    std::string serial = peer != nullptr ? Certificate::FromNative(peer.get()).value().serial_hex() : "";
    const Result<SpiffeId> client = PeerId(connection.server.get()), server = PeerId(connection.client.get());
    const std::lock_guard lock(mutex);
    if (!serial.empty()) serials.insert(std::move(serial));
    if (connection.received == "hello" && client.ok() && server.ok()) return;
    if (failed++ == 0) {
      first_failure = fmt::format("server: {}; client: {}", client.ok() ? "fine" : Message(client.status()),
                                  server.ok() ? "fine" : Message(server.status()));
    }
  }
};

int Main(char** argv) {
  const auto api = WorkloadClient::Create(argv[1]).value();
  const auto client_source = SourceOf(api, argv[2]), server_source = SourceOf(api, argv[3]);
  const int count = std::atoi(argv[4]);
  const std::chrono::duration<double> time(std::atof(argv[5]));
  for (const auto& source : {client_source, server_source}) {
    if (const Status ready = source->WaitReady(std::chrono::seconds(20)); !ready.ok()) {
      fmt::print(stderr, "{}\n", Message(ready));
      return 1;
    }
  }
  const TlsContext client = TlsContext::Create({.role = TlsRole::kClient,
                                                .source = client_source,
                                                .authorize = AuthorizeId(SpiffeId::Parse(argv[3]).value()),
                                                .wall_clock = {}})
                                .value();
  const TlsContext server = TlsContext::Create({.role = TlsRole::kServer,
                                                .source = server_source,
                                                .authorize = AuthorizeId(SpiffeId::Parse(argv[2]).value()),
                                                .wall_clock = {}})
                                .value();
  Seen seen;
  const auto begin = std::chrono::steady_clock::now();
  std::atomic<int> next{0};
  const auto work = [&] {
    for (int i = 0; (i = next++) < count;) {
      std::this_thread::sleep_until(begin + time * (static_cast<double>(i) / count));
      testing::Connection connection(client.native(), server.native());
      connection.Run();
      seen.Take(connection);
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back(work);
  threads.clear();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const TrustDomain trust_domain = SpiffeId::Parse(argv[2]).value().trust_domain();
  fmt::print(
      "{{\"handshakes\": {}, \"failed\": {}, \"svids\": {}, \"seconds\": {:.1f}, \"covered\": {}, \"first_failure\": "
      "\"{}\"}}\n",
      count, seen.failed, seen.serials.size(), took.count(), server_source->ChecksRevocation(trust_domain),
      seen.first_failure);
  return 0;
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  return lanyard::Main(argv);
}
