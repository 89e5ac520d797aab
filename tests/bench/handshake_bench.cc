// What a mutual TLS handshake costs, both ends in this thread over memory: with this library, and with OpenSSL alone
// and the same certificates and keys. And what it costs to read the newest snapshot. Medians, as JSON.
//
//   handshake_bench SOCKET CLIENT-ID SERVER-ID ITERATIONS
//
// OpenSSL alone checks the chain to the bundle's authorities, and neither SPIFFE IDs nor revocation. Both are measured
// in turn, so that whatever slows the machine slows both.
#include <fmt/format.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "tests/support/tls_in_memory.h"
#include "workload_api/client/client.h"

namespace lanyard {
namespace {

using Clock = std::chrono::steady_clock;

void Check(bool ok) {
  if (!ok) std::abort();
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::shared_ptr<X509Source> SourceOf(const std::shared_ptr<WorkloadClient>& api, const char* id) {
  auto source = X509Source::Create(api, {.id = SpiffeId::Parse(id).value(), .hint = ""}).value();
  Check(source->WaitReady(std::chrono::seconds(20)).ok());
  return source;
}

TlsContext Ours(TlsRole role, const std::shared_ptr<X509Source>& source, const char* peer) {
  return TlsContext::Create({.role = role,
                             .source = source,
                             .authorize = AuthorizeId(SpiffeId::Parse(peer).value()),
                             .wall_clock = {}})
      .value();
}

SslCtxPtr Bare(const SSL_METHOD* method, const X509Source& source) {
  SslCtxPtr context(SSL_CTX_new(method));
  const X509Svid svid = source.Svid().value();
  Check(SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1);
  Check(SSL_CTX_use_certificate(context.get(), svid.leaf().native()) == 1);
  Check(SSL_CTX_use_PrivateKey(context.get(), svid.key().native()) == 1);
  const auto snapshot = source.Snapshot().value();
  for (const Certificate& authority : snapshot->bundles.Find(svid.id().trust_domain())->x509_authorities())
    Check(X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.native()) == 1);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  Check(SSL_CTX_set_num_tickets(context.get(), 0) == 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

double HandshakeMicros(SSL_CTX* client, SSL_CTX* server) {
  const auto begin = Clock::now();
  testing::Connection connection(client, server);
  connection.Run();
  Check(connection.received == "hello");
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

double ReadNanos(const X509Source& source) {
  constexpr int kReads = 1000;
  const auto begin = Clock::now();
  for (int i = 0; i < kReads; ++i) Check(source.Snapshot().ok());
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / kReads;
}

int Main(char** argv) {
  const auto api = WorkloadClient::Create(argv[1]).value();
  const auto client_source = SourceOf(api, argv[2]), server_source = SourceOf(api, argv[3]);
  const TlsContext client = Ours(TlsRole::kClient, client_source, argv[3]);
  const TlsContext server = Ours(TlsRole::kServer, server_source, argv[2]);
  const SslCtxPtr bare_client = Bare(TLS_client_method(), *client_source);
  const SslCtxPtr bare_server = Bare(TLS_server_method(), *server_source);
  std::vector<double> ours, bare, read;
  for (int i = std::atoi(argv[4]); i > 0; --i) {
    ours.push_back(HandshakeMicros(client.native(), server.native()));
    bare.push_back(HandshakeMicros(bare_client.get(), bare_server.get()));
    if (i % 20 == 0) read.push_back(ReadNanos(*server_source));
  }
  fmt::print("{{\"ours_us\": {:.1f}, \"bare_us\": {:.1f}, \"snapshot_read_ns\": {:.1f}}}\n", Median(ours), Median(bare),
             Median(read));
  return 0;
}

}  // namespace
}  // namespace lanyard

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  return lanyard::Main(argv);
}
