// Mutual TLS between holders of X.509-SVIDs.
//
// A TlsContext is an OpenSSL SSL_CTX that speaks TLS 1.3 only, shows one SVID, and asks pki/verifier.h and then the
// authorizer about the peer's. Host names play no part. It is built from snapshots and never changed: when the SVID or
// a bundle rotates, build a new one and use it for new connections; old connections keep what they were checked
// against. Sessions are never resumed, because a resumed session is not verified again and would walk past a
// revocation.
//
// In TLS 1.3 a client finishes its handshake before the server has looked at its certificate: a client that is refused
// learns it from its first read. A server never hands out data of an unverified peer.
//
// Thread: any. The authorizer and the clock are called on whichever thread drives the handshake.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/spiffe_id.h"
#include "pki/x509_svid.h"

struct ssl_ctx_st;  // SSL_CTX
struct ssl_st;      // SSL

namespace lanyard {

enum class TlsRole { kServer, kClient };

// OK lets the peer in; the message of an error goes into PeerId()'s. May not throw.
using PeerAuthorizer = std::function<Status(const SpiffeId& peer)>;

PeerAuthorizer AuthorizeId(SpiffeId id);
PeerAuthorizer AuthorizeMemberOf(TrustDomain trust_domain);

struct TlsOptions {
  TlsRole role = TlsRole::kServer;
  X509Svid svid;
  std::shared_ptr<const BundleSet> bundles;
  PeerAuthorizer authorize;  // required: there is no "anybody" by default
  std::function<std::chrono::system_clock::time_point()>
      wall_clock;  // required: the time that certificates are checked against
};

class TlsContext {
 public:
  static Result<TlsContext> Create(TlsOptions options);

  // For SSL_new(). SSL objects keep it alive on their own; nobody may change its verification or session settings.
  ssl_ctx_st* native() const { return context_.get(); }

 private:
  explicit TlsContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}

  std::shared_ptr<ssl_ctx_st> context_;
};

// The verified and authorized peer of a connection made from a TlsContext, or why it was refused. FailedPrecondition
// while the handshake has not come that far.
Result<SpiffeId> PeerId(const ssl_st* connection);

}  // namespace lanyard
