// TLS for a server that proves who it is and does not ask who its clients are: what a bundle endpoint speaks.
//
// Protocols, cipher suites and groups are those of Mozilla's "intermediate" recommendation (SPIFFE_Federation §5),
// without its finite-field Diffie-Hellman: TLS 1.2 and 1.3 with forward secrecy and authenticated encryption. Sessions
// are never resumed, nothing is renegotiated. Where clients name protocols (ALPN), http/1.1 must be among them.
//
// A session does no I/O of its own: bytes of the wire go in and out as strings. Its context may be replaced by another
// for sessions to come; a session keeps the one that it began with.
//
// Thread: a context any; a session one at a time. Failure: whatever the peer sends is at worst an error, after which
// the session is over; what it leaves to be sent is the alert that says why.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/key.h"

struct ssl_ctx_st;  // SSL_CTX
struct ssl_st;      // SSL

namespace lanyard {

class TlsServerContext {
 public:
  // `chain` begins with the certificate of `key`.
  static Result<TlsServerContext> Create(const std::vector<Certificate>& chain, const PrivateKey& key);

  // Whether a client that looks for this host, a DNS name or an IP address, finds it among the certificate's names.
  bool Names(const std::string& host) const;

 private:
  friend class TlsServerSession;
  explicit TlsServerContext(std::shared_ptr<ssl_ctx_st> context) : context_(std::move(context)) {}
  std::shared_ptr<ssl_ctx_st> context_;
};

class TlsServerSession {
 public:
  static Result<TlsServerSession> Begin(const TlsServerContext& context);
  TlsServerSession(TlsServerSession&&) noexcept;
  ~TlsServerSession();

  // Takes bytes from the wire; appends what they said to `plain` and what has to be sent in return to `reply`.
  // Unavailable when the peer has closed the session, InvalidArgument when it broke the protocol.
  Status Receive(std::string_view wire, std::string& plain, std::string& reply);
  // Appends to `wire` what carries `plain`, and with it the end of what this side says. FailedPrecondition before the
  // handshake is complete.
  Status SendLast(std::string_view plain, std::string& wire);

 private:
  struct State;
  explicit TlsServerSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
