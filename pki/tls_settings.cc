#include "pki/tls_settings.h"

#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

constexpr int kSecurityLevel = 2;
// Those of Mozilla's "intermediate" recommendation (SPIFFE_Federation §5) and of RFC 9325 §4.2, without finite-field
// Diffie-Hellman.
constexpr char kTls12Suites[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

}  // namespace

Status RestrictTls(SSL_CTX* context, int lowest_version) {
  SSL_CTX_set_security_level(context, kSecurityLevel);
  if (SSL_CTX_set_min_proto_version(context, lowest_version) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, kTls12Suites) != 1) {
    return OpenSslError("make TLS context: choose protocols");
  }
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_set_num_tickets(context, 0) != 1) return OpenSslError("make TLS context: switch resumption off");
  return OkStatus();
}

}  // namespace lanyard
