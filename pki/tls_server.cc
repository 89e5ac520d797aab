#include "pki/tls_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <limits>
#include <utility>

#include "pki/openssl_ptr.h"
#include "pki/tls_settings.h"

namespace lanyard {
namespace {

constexpr char kTls13Suites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr char kGroups[] = "X25519:P-256:P-384";
constexpr unsigned char kProtocol[] = "\x08http/1.1";  // RFC 7301 §3.1: length and name

// RFC 7301 §3.2: whoever names protocols and has none in common is told so.
int ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                   unsigned int size, void*) {
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, kProtocol, sizeof kProtocol - 1, offered, size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

void Drain(BIO* from, std::string& to) {
  char bytes[4096];
  for (int got = 0; (got = BIO_read(from, bytes, sizeof bytes)) > 0;) to.append(bytes, static_cast<std::size_t>(got));
}

}  // namespace

Result<TlsServerContext> TlsServerContext::Create(const std::vector<Certificate>& chain, const PrivateKey& key) {
  if (chain.empty()) return Error(StatusCode::kInvalidArgument, "make TLS context: no certificate");
  SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return OpenSslError("make TLS context");
  SSL_CTX* ctx = context.get();
  RETURN_IF_ERROR(RestrictTls(ctx, TLS1_2_VERSION));
  if (SSL_CTX_set_ciphersuites(ctx, kTls13Suites) != 1 || SSL_CTX_set1_groups_list(ctx, kGroups) != 1)
    return OpenSslError("make TLS context: choose protocols");
  SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, nullptr);  // SPIFFE_Federation §5.2.1.3 and §5.2.2.3: clients are not asked
  SSL_CTX_set_alpn_select_cb(ctx, ChooseProtocol, nullptr);
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
  if (SSL_CTX_use_certificate(ctx, chain.front().native()) != 1 || SSL_CTX_use_PrivateKey(ctx, key.native()) != 1 ||
      SSL_CTX_check_private_key(ctx) != 1) {
    return OpenSslError("make TLS context: use the certificate with its key", StatusCode::kInvalidArgument);
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, chain[i].native()) != 1) return OpenSslError("make TLS context: add intermediate");
  }
  return TlsServerContext(std::shared_ptr<SSL_CTX>(std::move(context)));
}

bool TlsServerContext::Names(const std::string& host) const {
  X509* certificate = SSL_CTX_get0_certificate(context_.get());
  return X509_check_host(certificate, host.data(), host.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1 ||
         X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
}

struct TlsServerSession::State {
  SslPtr ssl;
  BIO* in = nullptr;  // both owned by ssl
  BIO* out = nullptr;

  // After a call that did not succeed: OK when it only wants more bytes.
  Status Outcome(int result, const char* attempted) const {
    switch (SSL_get_error(ssl.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return OkStatus();
      case SSL_ERROR_ZERO_RETURN:
        return Error(StatusCode::kUnavailable, "{}: the peer has closed", attempted);
      default:
        return OpenSslError(attempted, StatusCode::kInvalidArgument);
    }
  }

  Status Advance(std::string& plain) const {
    ERR_clear_error();
    if (!SSL_is_init_finished(ssl.get())) {
      const int done = SSL_do_handshake(ssl.get());
      if (done != 1) return Outcome(done, "TLS handshake");
    }
    char bytes[4096];
    while (true) {
      const int got = SSL_read(ssl.get(), bytes, sizeof bytes);
      if (got <= 0) return Outcome(got, "read TLS");
      plain.append(bytes, static_cast<std::size_t>(got));
    }
  }
};

TlsServerSession::TlsServerSession(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsServerSession::TlsServerSession(TlsServerSession&&) noexcept = default;
TlsServerSession::~TlsServerSession() = default;

Result<TlsServerSession> TlsServerSession::Begin(const TlsServerContext& context) {
  auto state = std::make_unique<State>();
  state->ssl.reset(SSL_new(context.context_.get()));
  BioPtr in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem()));
  if (!state->ssl || !in || !out) return OpenSslError("begin a TLS session");
  state->in = in.get();
  state->out = out.get();
  SSL_set_bio(state->ssl.get(), in.release(), out.release());
  SSL_set_accept_state(state->ssl.get());
  return TlsServerSession(std::move(state));
}

Status TlsServerSession::Receive(std::string_view wire, std::string& plain, std::string& reply) {
  if (wire.size() > std::numeric_limits<int>::max() ||
      BIO_write(state_->in, wire.data(), static_cast<int>(wire.size())) != static_cast<int>(wire.size())) {
    return OpenSslError("take bytes of TLS");
  }
  const Status outcome = state_->Advance(plain);
  Drain(state_->out, reply);
  return outcome;
}

Status TlsServerSession::SendLast(std::string_view plain, std::string& wire) {
  SSL* ssl = state_->ssl.get();
  if (!SSL_is_init_finished(ssl)) return Error(StatusCode::kFailedPrecondition, "the TLS handshake is not complete");
  ERR_clear_error();
  std::size_t written = 0;
  if (!plain.empty() && (SSL_write_ex(ssl, plain.data(), plain.size(), &written) != 1 || written != plain.size()))
    return OpenSslError("write TLS");
  SSL_shutdown(ssl);  // close_notify; the peer's is not waited for
  ERR_clear_error();
  Drain(state_->out, wire);
  return OkStatus();
}

}  // namespace lanyard
