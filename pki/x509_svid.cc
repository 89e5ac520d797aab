#include "pki/x509_svid.h"

#include "pki/verifier.h"

namespace lanyard {
namespace {

constexpr std::string_view kEmptyName("\x30\x00", 2);

Status Broken(std::string_view rule) {
  return Error(StatusCode::kInvalidArgument, "{}", rule);
}

}  // namespace

Result<SpiffeId> IdFromLeaf(const Certificate& leaf) {
  const CertificateFields& fields = leaf.fields();
  // X509-SVID §2: one URI SAN, neither none nor two
  if (fields.uri_sans.size() != 1) {
    return Error(StatusCode::kInvalidArgument, "certificate has {} URI SANs, an SVID has exactly 1",
                 fields.uri_sans.size());
  }
  Result<SpiffeId> id = SpiffeId::Parse(fields.uri_sans.front());
  if (!id.ok()) return Annotate(id.status(), "URI SAN of certificate");
  // X509-SVID §3.1 and §5.2: only IDs with a path identify workloads
  if (id->path().empty())
    return Error(StatusCode::kInvalidArgument, "ID {} has no path, so it names a trust domain and no workload",
                 id->str());
  // X509-SVID §3.1, RFC 5280 §4.1.2.6: without a subject the names are all there is, and must be understood
  if (fields.subject_der == kEmptyName && !fields.san_critical) {
    return Broken("certificate has neither a subject nor critical subject alternative names");
  }
  // X509-SVID §4.1 and §5.2: a leaf is no CA
  if (fields.is_ca) return Broken("certificate is a CA; signing certificates identify nobody");
  // X509-SVID §4.3: key usage is present and critical
  if (!fields.key_usage.has_value()) return Broken("certificate has no key usage extension");
  if (!fields.key_usage_critical) return Broken("key usage extension of certificate is not critical");
  // X509-SVID §4.3 and §5.2: it signs handshakes, not certificates and not CRLs
  if (!leaf.HasKeyUsage(kKeyUsageDigitalSignature)) return Broken("key usage of certificate lacks digitalSignature");
  if (leaf.HasKeyUsage(kKeyUsageKeyCertSign))
    return Broken("key usage of certificate has keyCertSign, which a leaf must not have");
  if (leaf.HasKeyUsage(kKeyUsageCrlSign))
    return Broken("key usage of certificate has cRLSign, which a leaf must not have");
  // X509-SVID §4.4: extended key usage may be absent; if not, it allows both sides of TLS
  if (fields.extended_key_usage.has_value()) {
    if (!fields.extended_key_usage->server_auth) return Broken("extended key usage of certificate lacks serverAuth");
    if (!fields.extended_key_usage->client_auth) return Broken("extended key usage of certificate lacks clientAuth");
  }
  return id;
}

Result<std::optional<TrustDomain>> CheckSigningCertificate(const Certificate& certificate) {
  const CertificateFields& fields = certificate.fields();
  // X509-SVID §4.1
  if (!fields.is_ca) return Broken("certificate is not a CA");
  // X509-SVID §3.2 and §4.3
  if (!certificate.HasKeyUsage(kKeyUsageKeyCertSign)) return Broken("key usage of CA certificate lacks keyCertSign");

  std::optional<std::string_view> spiffe_uri;
  for (const std::string& uri : fields.uri_sans) {
    if (uri.rfind("spiffe:", 0) == 0) spiffe_uri = uri;
  }
  if (!spiffe_uri.has_value()) return std::optional<TrustDomain>();  // a CA need not be an SVID itself

  // X509-SVID §2, as for every SVID
  if (fields.uri_sans.size() != 1) {
    return Error(StatusCode::kInvalidArgument, "CA certificate has a SPIFFE ID and {} other URI SANs",
                 fields.uri_sans.size() - 1);
  }
  // X509-SVID §4.3: critical on every SVID
  if (!fields.key_usage_critical) return Broken("key usage extension of CA certificate is not critical");
  // SPIFFE_Trust_Domain_and_Bundle appendix A shows an authority named "spiffe://example.com/": that slash is no path
  if (spiffe_uri->ends_with('/')) spiffe_uri->remove_suffix(1);
  Result<SpiffeId> id = SpiffeId::Parse(*spiffe_uri);
  if (!id.ok()) return Annotate(id.status(), "URI SAN of CA certificate");
  // X509-SVID §3.2: the ID of a signing certificate has no path
  if (!id->path().empty()) {
    return Error(StatusCode::kInvalidArgument,
                 "ID {} of CA certificate has a path, which a signing certificate must not have", id->str());
  }
  return std::optional<TrustDomain>(id->trust_domain());
}

X509Svid X509Svid::FromParts(SpiffeId id, std::vector<Certificate> chain, PrivateKey key) {
  return X509Svid(std::make_shared<const State>(State{std::move(id), std::move(chain), std::move(key)}));
}

Result<X509Svid> X509Svid::Create(std::vector<Certificate> chain, PrivateKey key) {
  if (chain.empty()) return Broken("X.509-SVID has no certificate");
  if (chain.size() > kMaxChainCertificates) {
    return Error(StatusCode::kInvalidArgument, "X.509-SVID has {} certificates, at most {} are accepted", chain.size(),
                 kMaxChainCertificates);
  }
  ASSIGN_OR_RETURN(SpiffeId id, IdFromLeaf(chain.front()));
  for (std::size_t i = 1; i < chain.size(); ++i) {
    const auto checked = CheckSigningCertificate(chain[i]);
    if (!checked.ok()) return Annotate(checked.status(), "X.509-SVID {}: certificate {} of its chain", id.str(), i);
  }
  ASSIGN_OR_RETURN(const PublicKey certified, chain.front().public_key());
  if (!certified.SameAs(key.public_key())) {
    return Error(StatusCode::kInvalidArgument, "X.509-SVID {}: private key does not belong to the certificate",
                 id.str());
  }
  return FromParts(std::move(id), std::move(chain), std::move(key));
}

std::string X509Svid::ChainDer() const {
  std::string der;
  for (const Certificate& certificate : chain()) der += certificate.der();
  return der;
}

std::string X509Svid::ChainPem() const {
  std::string pem;
  for (const Certificate& certificate : chain()) pem += certificate.ToPem();
  return pem;
}

}  // namespace lanyard
