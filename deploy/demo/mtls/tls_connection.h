// Loopback TCP with mutual TLS between two holders of SVIDs: sockets, handshake, lines of text.
//
// Both sides are checked before any data flows. The client checks the server within the handshake. In TLS 1.3 the
// client may send before the server has looked at its certificate; so here the server speaks first, and the client
// waits for that greeting: it is sent only to a client that was verified and authorized.
//
// Thread: one thread per connection. Failure: a refused peer is Unauthenticated or PermissionDenied with the verifier's
// reason; every wait for bytes ends after ten seconds. (A server that is no demonstration also ends a handshake whose
// bytes come one by one.)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/fd.h"
#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"
#include "workload_api/client/tls.h"

namespace lanyard::demo {

// A listening socket on "HOST:PORT" (IPv4; port 0 lets the kernel choose).
Result<UniqueFd> Listen(const std::string& address);
Result<std::string> LocalAddress(int fd);
// Waits for the next connection.
Result<UniqueFd> Accept(int listener);
Result<UniqueFd> Connect(const std::string& address);

class TlsConnection {
 public:
  // Does the handshake in the context's role. `socket` must be connected.
  static Result<TlsConnection> Handshake(const TlsContext& context, UniqueFd socket, TlsRole role);
  TlsConnection(TlsConnection&&) = default;
  TlsConnection& operator=(TlsConnection&&) = delete;
  ~TlsConnection();

  const SpiffeId& peer() const { return peer_; }
  Status WriteLine(std::string_view line);
  Result<std::string> ReadLine();  // without the newline; at most 4096 bytes

 private:
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };

  TlsConnection(UniqueFd socket, std::unique_ptr<ssl_st, FreeSsl> ssl, SpiffeId peer)
      : socket_(std::move(socket)), ssl_(std::move(ssl)), peer_(std::move(peer)) {}

  UniqueFd socket_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  SpiffeId peer_;
};

}  // namespace lanyard::demo
