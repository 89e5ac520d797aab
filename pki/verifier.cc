#include "pki/verifier.h"

#include <openssl/err.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "pki/openssl_ptr.h"
#include "pki/x509_svid.h"

namespace lanyard {
namespace {

constexpr int kSecurityLevel = 2;  // 112 bits: no RSA below 2048, no SHA-1 signatures

Result<BorrowedCertStackPtr> StackOf(std::span<const Certificate> certificates) {
  BorrowedCertStackPtr stack(sk_X509_new_null());
  if (stack == nullptr) return OpenSslError("verify X.509-SVID");
  for (const Certificate& certificate : certificates) {
    if (sk_X509_push(stack.get(), certificate.native()) <= 0) return OpenSslError("verify X.509-SVID");
  }
  return stack;
}

const Certificate* FindNative(std::span<const Certificate> certificates, const X509* native) {
  const auto found = std::find_if(certificates.begin(), certificates.end(),
                                  [native](const Certificate& c) { return c.native() == native; });
  return found != certificates.end() ? &*found : nullptr;
}

// The path that OpenSSL found, from the leaf to the anchor, with its signing certificates by the rules of X509-SVID
// §3.2.
Result<std::vector<const Certificate*>> CheckPath(const STACK_OF(X509) * path, std::span<const Certificate> presented,
                                                  const Bundle& bundle) {
  std::vector<const Certificate*> found = {&presented.front()};
  for (int i = 1; i < sk_X509_num(path); ++i) {
    const X509* native = sk_X509_value(path, i);
    const Certificate* anchor = FindNative(bundle.x509_authorities(), native);
    const Certificate* certificate = anchor != nullptr ? anchor : FindNative(presented, native);
    if (certificate == nullptr) return Error(StatusCode::kInternal, "certificate {} of the path came from nowhere", i);
    const auto checked = CheckSigningCertificate(*certificate);
    if (!checked.ok())
      return Error(StatusCode::kUnauthenticated, "certificate {} of the path: {}", i, Message(checked.status()));
    // An authority of the bundle is trusted as it is. An intermediate that belongs to another trust domain may sign for
    // that one, not for this (X509-SVID §3.2 says SHOULD; accepting it would let a neighbour that was helped once speak
    // for us)
    if (anchor == nullptr && checked->has_value() && **checked != bundle.trust_domain()) {
      return Error(StatusCode::kUnauthenticated, "certificate {} of the path belongs to trust domain {}, not {}", i,
                   (*checked)->name(), bundle.trust_domain().name());
    }
    found.push_back(certificate);
  }
  return found;
}

}  // namespace

Result<SpiffeId> VerifyX509Svid(std::span<const Certificate> chain, const BundleSet& bundles,
                                std::chrono::system_clock::time_point now, KeyPurpose purpose,
                                const RevocationLists* lists) {
  if (chain.empty()) return Error(StatusCode::kInvalidArgument, "verify X.509-SVID: no certificate was presented");
  if (chain.size() > kMaxChainCertificates) {
    return Error(StatusCode::kInvalidArgument, "verify X.509-SVID: {} certificates were presented, at most {} are read",
                 chain.size(), kMaxChainCertificates);
  }
  Result<SpiffeId> id = IdFromLeaf(chain.front());
  if (!id.ok()) return Annotate(id.status(), "verify X.509-SVID");
  // SPIFFE_Trust_Domain_and_Bundle §3: the bundle of the ID's own trust domain, and no other
  const Bundle* bundle = bundles.Find(id->trust_domain());
  if (bundle == nullptr) {
    return Error(StatusCode::kUnauthenticated, "verify X.509-SVID {}: there is no bundle for trust domain {}",
                 id->str(), id->trust_domain().name());
  }
  // SPIFFE_Trust_Domain_and_Bundle §4.1.3: an empty bundle makes everything of its trust domain untrusted
  if (bundle->x509_authorities().empty()) {
    return Error(StatusCode::kUnauthenticated,
                 "verify X.509-SVID {}: the bundle of its trust domain has no X.509 authorities", id->str());
  }

  ASSIGN_OR_RETURN(const BorrowedCertStackPtr trusted, StackOf(bundle->x509_authorities()));
  ASSIGN_OR_RETURN(const BorrowedCertStackPtr untrusted, StackOf(chain.subspan(1)));
  const StoreCtxPtr context(X509_STORE_CTX_new());
  if (context == nullptr || X509_STORE_CTX_init(context.get(), nullptr, chain.front().native(), untrusted.get()) != 1) {
    return OpenSslError("verify X.509-SVID");
  }
  X509_STORE_CTX_set0_trusted_stack(context.get(), trusted.get());
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, std::chrono::system_clock::to_time_t(now));
  X509_VERIFY_PARAM_set_depth(param, static_cast<int>(kMaxChainCertificates));
  X509_VERIFY_PARAM_set_auth_level(param, kSecurityLevel);
  // X509-SVID §6.1: an authority SHOULD be self-signed, so one that is not is an anchor all the same
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  if (purpose == KeyPurpose::kServer) X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
  if (purpose == KeyPurpose::kClient) X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT);

  const int verdict = X509_verify_cert(context.get());
  ERR_clear_error();
  if (verdict != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    return Error(StatusCode::kUnauthenticated, "verify X.509-SVID {}: certificate {} of the path: {}", id->str(),
                 X509_STORE_CTX_get_error_depth(context.get()),
                 error != X509_V_OK ? X509_verify_cert_error_string(error) : "could not be checked");
  }
  const auto path = CheckPath(X509_STORE_CTX_get0_chain(context.get()), chain, *bundle);
  if (!path.ok()) return Annotate(path.status(), "verify X.509-SVID {}", id->str());
  if (lists != nullptr)
    RETURN_IF_ERROR(Annotate(lists->Check(id->trust_domain(), *path, now), "verify X.509-SVID {}", id->str()));
  return id;
}

}  // namespace lanyard
