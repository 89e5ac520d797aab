#include "pki/tls.h"

#include <openssl/err.h>

#include "pki/openssl_ptr.h"
#include "pki/verifier.h"

namespace lanyard {
namespace {

constexpr int kSecurityLevel = 2;
constexpr unsigned char kSessionContext[] = "lanyard";

// What a connection's peer is checked against. Belongs to the SSL_CTX, which every connection keeps alive.
struct Policy {
  KeyPurpose peer_purpose;
  std::shared_ptr<const BundleSet> bundles;
  PeerAuthorizer authorize;
  std::function<std::chrono::system_clock::time_point()> wall_clock;
};

void FreePolicy(void*, void* policy, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Policy*>(policy);
}
void FreeOutcome(void*, void* outcome, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Result<SpiffeId>*>(outcome);
}

// SSL_dup() copies the pointer; each connection must own its own outcome.
int DupOutcome(CRYPTO_EX_DATA*, const CRYPTO_EX_DATA*, void** outcome, int, long, void*) {
  const auto* from = static_cast<const Result<SpiffeId>*>(*outcome);
  *outcome = from != nullptr ? new Result<SpiffeId>(*from) : nullptr;
  return 1;
}

int PolicyIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, FreePolicy);
  return index;
}

int OutcomeIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, DupOutcome, FreeOutcome);
  return index;
}

Result<SpiffeId> Judge(X509_STORE_CTX* context, const Policy& policy) {
  // As presented: the leaf, and behind it everything else that the peer sent
  STACK_OF(X509)* presented = X509_STORE_CTX_get0_untrusted(context);
  const int count = presented != nullptr ? sk_X509_num(presented) : 0;
  if (count > static_cast<int>(kMaxChainCertificates)) {
    return Error(StatusCode::kInvalidArgument, "peer presented {} certificates, at most {} are read", count,
                 kMaxChainCertificates);
  }
  std::vector<Certificate> chain;
  for (int i = 0; i < count; ++i) {
    Result<Certificate> certificate = Certificate::FromNative(sk_X509_value(presented, i));
    if (!certificate.ok()) return Annotate(certificate.status(), "certificate {} of peer", i + 1);
    chain.push_back(*std::move(certificate));
  }
  ASSIGN_OR_RETURN(SpiffeId id, VerifyX509Svid(chain, *policy.bundles, policy.wall_clock(), policy.peer_purpose));
  const Status authorized = policy.authorize(id);
  if (!authorized.ok()) return Error(StatusCode::kPermissionDenied, "peer {}: {}", id.str(), Message(authorized));
  return id;
}

// Takes the place of OpenSSL's own verification; runs once in each handshake. Returns 1 to go on.
int VerifyPeer(X509_STORE_CTX* context, void* policy) {
  auto* connection = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto outcome = std::make_unique<Result<SpiffeId>>(Judge(context, *static_cast<const Policy*>(policy)));
  const bool accepted = outcome->ok();
  X509_STORE_CTX_set_error(context, accepted ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
  delete static_cast<Result<SpiffeId>*>(SSL_get_ex_data(connection, OutcomeIndex()));
  if (SSL_set_ex_data(connection, OutcomeIndex(), outcome.get()) != 1) {
    X509_STORE_CTX_set_error(context, X509_V_ERR_OUT_OF_MEM);
    return 0;
  }
  static_cast<void>(outcome.release());  // the connection owns it now
  return accepted ? 1 : 0;
}

}  // namespace

PeerAuthorizer AuthorizeId(SpiffeId id) {
  return [id = std::move(id)](const SpiffeId& peer) {
    return peer == id ? OkStatus() : Error(StatusCode::kPermissionDenied, "only {} is expected here", id.str());
  };
}

PeerAuthorizer AuthorizeMemberOf(TrustDomain trust_domain) {
  return [trust_domain = std::move(trust_domain)](const SpiffeId& peer) {
    return peer.MemberOf(trust_domain)
               ? OkStatus()
               : Error(StatusCode::kPermissionDenied, "only members of {} are expected here", trust_domain.name());
  };
}

Result<TlsContext> TlsContext::Create(TlsOptions options) {
  if (options.bundles == nullptr || !options.authorize || !options.wall_clock) {
    return Error(StatusCode::kInvalidArgument, "make TLS context: bundles, authorizer and clock are all required");
  }
  const bool server = options.role == TlsRole::kServer;
  SslCtxPtr context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return OpenSslError("make TLS context");
  SSL_CTX* ctx = context.get();
  SSL_CTX_set_security_level(ctx, kSecurityLevel);
  if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1) {
    return OpenSslError("make TLS context: choose TLS 1.3");
  }

  // No resumption, in all three ways: no stateless tickets, none sent at all, no cache. Any one alone leaves another
  // way open.
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  if (SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
      SSL_CTX_set_session_id_context(ctx, kSessionContext, sizeof kSessionContext) != 1) {
    return OpenSslError("make TLS context: switch resumption off");
  }

  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);  // the chain is the SVID's, not what OpenSSL would put together
  const std::vector<Certificate>& chain = options.svid.chain();
  if (SSL_CTX_use_certificate(ctx, chain.front().native()) != 1 ||
      SSL_CTX_use_PrivateKey(ctx, options.svid.key().native()) != 1) {
    return OpenSslError(fmt::format("make TLS context: use X.509-SVID {}", options.svid.id().str()));
  }
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, chain[i].native()) != 1) return OpenSslError("make TLS context: add intermediate");
  }

  auto policy =
      std::make_unique<Policy>(Policy{server ? KeyPurpose::kClient : KeyPurpose::kServer, std::move(options.bundles),
                                      std::move(options.authorize), std::move(options.wall_clock)});
  if (SSL_CTX_set_ex_data(ctx, PolicyIndex(), policy.get()) != 1) return OpenSslError("make TLS context");
  SSL_CTX_set_cert_verify_callback(ctx, VerifyPeer, policy.release());  // owned by the SSL_CTX through its ex_data
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return TlsContext(std::shared_ptr<SSL_CTX>(std::move(context)));
}

Result<SpiffeId> PeerId(const ssl_st* connection) {
  const auto* outcome = static_cast<const Result<SpiffeId>*>(SSL_get_ex_data(connection, OutcomeIndex()));
  if (outcome == nullptr) return Error(StatusCode::kFailedPrecondition, "the peer has not been verified yet");
  return *outcome;
}

}  // namespace lanyard
