#include "workload_api/client/tls.h"

#include <openssl/err.h>

#include <utility>
#include <vector>

#include "pki/openssl_ptr.h"
#include "pki/tls_settings.h"
#include "pki/verifier.h"

namespace lanyard {
namespace {

constexpr unsigned char kSessionContext[] = "lanyard";

// What connections go by. Belongs to the SSL_CTX, which every connection keeps alive.
struct Policy {
  KeyPurpose peer_purpose;
  std::shared_ptr<const X509Source> source;
  Authorizer authorize;
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

// What Remember() was told last; null: nothing yet.
const Result<SpiffeId>* OutcomeOf(const SSL* connection) {
  return static_cast<const Result<SpiffeId>*>(SSL_get_ex_data(connection, OutcomeIndex()));
}

// What the connection's functions say from now on; false when there is no memory for it.
bool Remember(SSL* connection, Result<SpiffeId> result) {
  auto outcome = std::make_unique<Result<SpiffeId>>(std::move(result));
  delete static_cast<Result<SpiffeId>*>(SSL_get_ex_data(connection, OutcomeIndex()));
  if (SSL_set_ex_data(connection, OutcomeIndex(), outcome.get()) != 1) return false;
  static_cast<void>(outcome.release());  // the connection owns it now
  return true;
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
  ASSIGN_OR_RETURN(const X509Source::SnapshotPtr snapshot, policy.source->Snapshot());
  ASSIGN_OR_RETURN(SpiffeId id, VerifyX509Svid(chain, snapshot->bundles, policy.wall_clock(), policy.peer_purpose,
                                               &snapshot->revocation));
  const Status authorized = policy.authorize(id);
  if (!authorized.ok()) return Error(StatusCode::kPermissionDenied, "peer {}: {}", id.str(), Message(authorized));
  return id;
}

// Authorizer and clock are a user's functions, and OpenSSL's frames are below us.
Result<SpiffeId> JudgeOrRefuse(X509_STORE_CTX* context, const Policy& policy) {
  try {
    return Judge(context, policy);
  } catch (...) {
    return Error(StatusCode::kPermissionDenied, "verify peer: the authorizer or the clock threw an exception");
  }
}

// Takes the place of OpenSSL's own verification; runs once in each handshake. Returns 1 to go on.
int VerifyPeer(X509_STORE_CTX* context, void* policy) {
  auto* connection = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  Result<SpiffeId> outcome = JudgeOrRefuse(context, *static_cast<const Policy*>(policy));
  const bool accepted = outcome.ok();
  X509_STORE_CTX_set_error(context, accepted ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
  if (!Remember(connection, std::move(outcome))) {
    X509_STORE_CTX_set_error(context, X509_V_ERR_OUT_OF_MEM);
    return 0;
  }
  return accepted ? 1 : 0;
}

// The certificates behind the leaf, borrowed.
Result<BorrowedCertStackPtr> Intermediates(const X509Svid& svid) {
  BorrowedCertStackPtr stack(sk_X509_new_null());
  if (stack == nullptr) return OpenSslError("show own X.509-SVID");
  for (std::size_t i = 1; i < svid.chain().size(); ++i) {
    if (sk_X509_push(stack.get(), svid.chain()[i].native()) <= 0) return OpenSslError("show own X.509-SVID");
  }
  return stack;
}

Status Show(SSL* connection, const Policy& policy) {
  ASSIGN_OR_RETURN(const X509Svid svid, policy.source->Svid());
  ASSIGN_OR_RETURN(const BorrowedCertStackPtr chain, Intermediates(svid));
  if (SSL_use_cert_and_key(connection, svid.leaf().native(), svid.key().native(), chain.get(), 1) != 1)
    return OpenSslError(fmt::format("show own X.509-SVID {}", svid.id().str()));
  return OkStatus();
}

// Runs in each handshake before this side shows its certificate. Returns 1 to go on.
int ShowNewest(SSL* connection, void* policy) {
  const Status shown = Show(connection, *static_cast<const Policy*>(policy));
  if (!shown.ok()) Remember(connection, shown);
  return shown.ok() ? 1 : 0;
}

}  // namespace

Result<TlsContext> TlsContext::Create(TlsOptions options) {
  if (options.source == nullptr || !options.authorize)
    return Error(StatusCode::kInvalidArgument, "make TLS context: source and authorizer are both required");
  if (!options.wall_clock) options.wall_clock = [] { return std::chrono::system_clock::now(); };
  const bool server = options.role == TlsRole::kServer;
  SslCtxPtr context(SSL_CTX_new(server ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return OpenSslError("make TLS context");
  SSL_CTX* ctx = context.get();
  RETURN_IF_ERROR(RestrictTls(ctx, options.min_version == TlsVersion::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION));
  if (SSL_CTX_set_session_id_context(ctx, kSessionContext, sizeof kSessionContext) != 1)
    return OpenSslError("make TLS context: name its sessions");
  SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);  // the chain is the SVID's, not what OpenSSL would put together
  auto policy =
      std::make_unique<Policy>(Policy{server ? KeyPurpose::kClient : KeyPurpose::kServer, std::move(options.source),
                                      std::move(options.authorize), std::move(options.wall_clock)});
  if (SSL_CTX_set_ex_data(ctx, PolicyIndex(), policy.get()) != 1) return OpenSslError("make TLS context");
  Policy* owned = policy.release();  // by the SSL_CTX through its ex_data
  SSL_CTX_set_cert_cb(ctx, ShowNewest, owned);
  SSL_CTX_set_cert_verify_callback(ctx, VerifyPeer, owned);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return TlsContext(std::shared_ptr<SSL_CTX>(std::move(context)));
}

Result<SpiffeId> PeerId(const ssl_st* connection) {
  const Result<SpiffeId>* outcome = OutcomeOf(connection);
  // Its certificate comes before the proof that it has the key, and its Finished after it.
  char finished[1];
  if (outcome == nullptr || (outcome->ok() && SSL_get_peer_finished(connection, finished, sizeof finished) == 0))
    return Error(StatusCode::kFailedPrecondition, "the peer has not been verified yet");
  return *outcome;
}

Status ConnectionError(const ssl_st* connection, std::string_view attempted) {
  const Result<SpiffeId>* outcome = OutcomeOf(connection);
  if (outcome != nullptr && !outcome->ok()) return Annotate(outcome->status(), "{}", attempted);
  const unsigned long code = ERR_get_error();  // NOLINT(google-runtime-int): OpenSSL's type
  ERR_clear_error();
  const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  return Error(StatusCode::kUnauthenticated, "{}: {}", attempted,
               reason != nullptr ? reason : "the other side closed the connection");
}

}  // namespace lanyard
