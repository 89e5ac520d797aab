// Bytes of the wire that a TLS client may send: whatever they are, and in whatever pieces they come, nothing is said to
// the request before a handshake is complete, which takes a key that the bytes cannot know; and over is over.
#include "pki/root.h"
#include "pki/tls_server.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

const TlsServerContext& Context() {
  static const TlsServerContext context = [] {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const TrustDomain domain = TrustDomain::Parse("example.org").value();
    const SelfSignedCa root = MakeRootCa(domain, KeyType::kEcP256, now, now + std::chrono::hours(24)).value();
    return TlsServerContext::Create({root.certificate}, root.key).value();
  }();
  return context;
}

void CheckSession(FuzzInput input) {
  Result<TlsServerSession> session = TlsServerSession::Begin(Context());
  Require(session.ok());
  const auto piece = static_cast<size_t>(input.Number(1, 256));
  std::string_view wire = input.Rest();
  std::string plain, reply;
  Status over;
  while (!wire.empty()) {
    const Status received = session->Receive(wire.substr(0, piece), plain, reply);
    if (!received.ok()) RequireTold(received);
    Require(over.ok() || !received.ok());
    if (over.ok()) over = received;
    wire.remove_prefix(std::min(piece, wire.size()));
  }
  Require(plain.empty());
  Require(reply.size() < 65536);
  const size_t before = reply.size();
  Require(session->SendLast("the answer", reply).code() == StatusCode::kFailedPrecondition);
  Require(reply.size() == before);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckSession(lanyard::FuzzInput(data, size));
  return 0;
}
