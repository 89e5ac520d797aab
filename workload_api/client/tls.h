// Mutual TLS between holders of X.509-SVIDs.
//
// A TlsContext is an OpenSSL SSL_CTX for one role. It is made once and used for every connection: in each handshake it
// shows the source's newest SVID and judges the peer by its newest bundles and revocation lists, and then by the
// authorizer. Host names play no part. A connection keeps what it was checked against when it began: whoever wants a
// revocation to reach open connections closes them.
//
// The peer is refused when its certificate is no X.509-SVID, when nothing in the bundle of its own trust domain vouches
// for it, when it is revoked or its revocation cannot be found out (pki/revocation.h), or when the authorizer says no.
// Sessions are never resumed, because a resumed session is not verified again and would walk past a revocation.
//
// In TLS 1.3 a client finishes its handshake before the server has looked at its certificate: a client that is refused
// learns it from its first read. Neither side hands out data of an unverified peer.
//
// Thread: any. The authorizer and the clock are called on whichever thread drives a handshake. Throws nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"
#include "workload_api/client/authorizer.h"
#include "workload_api/client/x509_source.h"

struct ssl_ctx_st;  // SSL_CTX
struct ssl_st;      // SSL

namespace lanyard {

enum class TlsRole { kServer, kClient };

// The lowest version that is spoken; the highest is 1.3.
enum class TlsVersion { kTls12, kTls13 };

struct TlsOptions {
  TlsRole role = TlsRole::kServer;
  std::shared_ptr<const X509Source> source;  // required; need not be ready yet
  Authorizer authorize;                      // required: there is no "anybody" by default
  TlsVersion min_version = TlsVersion::kTls13;
  // The time that the peer's certificates are checked against; the system's clock if empty.
  std::function<std::chrono::system_clock::time_point()> wall_clock;
};

class TlsContext {
 public:
  // InvalidArgument without source or authorizer.
  static Result<TlsContext> Create(TlsOptions options);

  // For SSL_new() and for libraries that take an SSL_CTX. SSL objects keep it alive on their own. It may be given more
  // settings, ALPN for example; nobody may change its certificates, verification or session settings.
  ssl_ctx_st* native() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}

  std::shared_ptr<ssl_ctx_st> context_;
};

// The verified and authorized peer of a connection made from a TlsContext, or why the handshake failed on this side:
// Unauthenticated, InvalidArgument or PermissionDenied of the peer's certificate, or what the source says when there is
// no identity to show. FailedPrecondition until the peer has proved that it has the key of its certificate.
Result<SpiffeId> PeerId(const ssl_st* connection);

// Why `attempted`, a handshake or a read or write after it, has failed on a connection made from a TlsContext: what
// PeerId() says where this side refused, be it that its source is closed, else Unauthenticated with the first reason in
// OpenSSL's error queue, which is emptied, or that the other side closed the connection. On the thread of the call that
// failed, right after it.
Status ConnectionError(const ssl_st* connection, std::string_view attempted);

}  // namespace lanyard
