#include "pki/issuer.h"

#include <algorithm>
#include <optional>

#include "pki/asn1.h"
#include "pki/certificate_builder.h"
#include "pki/dns_name.h"
#include "pki/leaf_profile.h"
#include "pki/leaf_template.h"
#include "pki/openssl_ptr.h"
#include "pki/verifier.h"

namespace lanyard {
namespace {

using NameConstraintsPtr = Owned<NAME_CONSTRAINTS, NAME_CONSTRAINTS_free>;
constexpr std::size_t kMaxDnsNames = 64;

// Name constraints of one certificate (RFC 5280 §4.2.1.10); null if it has none.
Result<NameConstraintsPtr> NameConstraintsOf(const Certificate& certificate) {
  int critical = -1;
  NameConstraintsPtr constraints(
      static_cast<NAME_CONSTRAINTS*>(X509_get_ext_d2i(certificate.native(), NID_name_constraints, &critical, nullptr)));
  if (constraints == nullptr && critical != -1)
    return OpenSslError("read name constraints", StatusCode::kInvalidArgument);
  return constraints;
}

}  // namespace

struct Issuer::State {
  State(std::vector<Certificate> tail, PrivateKey signing_key)
      : chain_tail(std::move(tail)), key(std::move(signing_key)) {}

  std::optional<Certificate> certificate;
  std::vector<Certificate> chain_tail;
  PrivateKey key;
  std::chrono::system_clock::time_point not_after;
  std::optional<TrustDomain> trust_domain;      // of the signing certificate's own SPIFFE ID
  std::vector<NameConstraintsPtr> constraints;  // of the whole chain
  std::optional<LeafTemplate> leaf_template;    // if the key is P-256
};

Result<Issuer> Issuer::Create(std::vector<Certificate> chain, PrivateKey key) {
  if (chain.empty()) return Error(StatusCode::kInvalidArgument, "issuer: no certificate given");
  auto state = std::make_shared<State>(std::vector<Certificate>(), std::move(key));
  state->certificate = chain.front();
  state->not_after = chain.front().not_after();
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const Certificate& certificate = chain[i];
    const auto checked = CheckSigningCertificate(certificate);
    if (!checked.ok()) return Annotate(checked.status(), "issuer: certificate {}", i + 1);
    if (i == 0) state->trust_domain = *checked;
    // RFC 5280 §4.2.1.9: a path length of n allows n intermediates below this certificate
    if (certificate.fields().path_length.has_value() &&
        static_cast<std::size_t>(*certificate.fields().path_length) < i) {
      return Error(StatusCode::kInvalidArgument,
                   "issuer: certificate {} has path length {}, but {} CA certificates follow below it", i + 1,
                   *certificate.fields().path_length, i);
    }
    if (i + 1 < chain.size() &&
        (certificate.issuer_der() != chain[i + 1].subject_der() || !certificate.SignedBy(chain[i + 1]))) {
      return Error(StatusCode::kInvalidArgument,
                   "issuer: certificate {} is not signed by certificate {}; order the file from the "
                   "signing certificate up to the root",
                   i + 1, i + 2);
    }
    ASSIGN_OR_RETURN(NameConstraintsPtr constraints, NameConstraintsOf(certificate));
    if (constraints != nullptr) state->constraints.push_back(std::move(constraints));
    state->not_after = std::min(state->not_after, certificate.not_after());
    const bool root = certificate.self_issued() && certificate.SignedBy(certificate);
    if (root && i + 1 < chain.size())
      return Error(StatusCode::kInvalidArgument, "issuer: certificate {} is a root, but others follow it", i + 1);
    if (!root) state->chain_tail.push_back(certificate);
  }
  if (state->chain_tail.size() + 1 > kMaxChainCertificates) {
    return Error(StatusCode::kInvalidArgument,
                 "issuer: {} intermediates; with a leaf that is more than {}, the most that is accepted",
                 state->chain_tail.size(), kMaxChainCertificates);
  }
  ASSIGN_OR_RETURN(const PublicKey certified, chain.front().public_key());
  if (!certified.SameAs(state->key.public_key())) {
    return Error(StatusCode::kInvalidArgument, "issuer: the private key does not belong to the signing certificate");
  }
  if (state->key.type() == KeyType::kEcP256) {
    ASSIGN_OR_RETURN(state->leaf_template, LeafTemplate::For(chain.front(), state->key));
  }
  return Issuer(std::move(state));
}

Result<X509Svid> Issuer::IssueLeaf(const LeafRequest& request) const {
  const SpiffeId& id = request.id;
  // X509-SVID §3.1: only IDs with a path identify workloads
  if (id.path().empty()) return Error(StatusCode::kInvalidArgument, "issue X.509-SVID: {} has no path", id.str());
  // X509-SVID §3.2: leaves are in the trust domain of their signing certificate (SHOULD there, an error here)
  if (state_->trust_domain.has_value() && !id.MemberOf(*state_->trust_domain)) {
    return Error(StatusCode::kInvalidArgument, "issue X.509-SVID {}: the issuer belongs to trust domain {}", id.str(),
                 state_->trust_domain->name());
  }
  if (request.dns_names.size() > kMaxDnsNames) {
    return Error(StatusCode::kInvalidArgument, "issue X.509-SVID {}: {} DNS names, at most {} are allowed", id.str(),
                 request.dns_names.size(), kMaxDnsNames);
  }
  for (const std::string& name : request.dns_names)
    RETURN_IF_ERROR(Annotate(CheckDnsName(name), "issue X.509-SVID {}", id.str()));
  const auto not_before = WholeSeconds(request.not_before);
  if (request.not_after <= request.not_before) {
    return Error(StatusCode::kInvalidArgument, "issue X.509-SVID {}: it would end before it begins", id.str());
  }
  const auto not_after = std::min(WholeSeconds(request.not_after), state_->not_after);
  if (not_after <= not_before) {
    return Error(StatusCode::kFailedPrecondition, "issue X.509-SVID {}: the issuer's certificate chain has expired",
                 id.str());
  }

  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(request.key_type));
  std::vector<Certificate> chain;
  chain.reserve(1 + state_->chain_tail.size());
  const bool by_template = state_->leaf_template.has_value() && request.key_type == KeyType::kEcP256;
  if (by_template) {
    Result<WrittenLeaf> leaf = state_->leaf_template->Write({id, request.dns_names, not_before, not_after}, key);
    if (!leaf.ok()) return Annotate(leaf.status(), "issue X.509-SVID {}", id.str());
    chain.push_back(Certificate::FromParts(std::move(leaf->der), std::move(leaf->fields)));
  } else {
    ASSIGN_OR_RETURN(CertificateBuilder builder, CertificateBuilder::Start(key.public_key(), not_before, not_after));
    RETURN_IF_ERROR(builder.SetSubject(kLeafOrganization, ""));
    RETURN_IF_ERROR(builder.SetIssuerDer(certificate().subject_der()));
    RETURN_IF_ERROR(builder.AddKeyUsage(kLeafKeyUsage));
    RETURN_IF_ERROR(builder.AddExtendedKeyUsageForTls());
    RETURN_IF_ERROR(builder.AddBasicConstraints(false));
    RETURN_IF_ERROR(builder.AddKeyIds(certificate().subject_key_id()));
    RETURN_IF_ERROR(builder.AddNames(id.str(), request.dns_names));
    ASSIGN_OR_RETURN(Certificate leaf, builder.Sign(state_->key));
    chain.push_back(std::move(leaf));
  }
  // Ours must pass where others would check: a chain that forbids this name must not sign it
  for (const NameConstraintsPtr& constraints : state_->constraints) {
    const int verdict = NAME_CONSTRAINTS_check(chain.front().native(), constraints.get());
    if (verdict != X509_V_OK) {
      return Error(StatusCode::kFailedPrecondition, "issue X.509-SVID {}: name constraints of the issuer: {}", id.str(),
                   X509_verify_cert_error_string(verdict));
    }
  }
  chain.insert(chain.end(), state_->chain_tail.begin(), state_->chain_tail.end());
  if (!by_template) return X509Svid::Create(std::move(chain), std::move(key));

  // Re-checked on the template's way: the profile, on the fields that were written (cheap, and it catches an edit of
  // the template that forgets a rule). Not re-checked: that the DER says what the fields say (tests compare both over
  // random inputs), that the key is the certificate's (its point was copied from that very key), and the tail (checked
  // by Create above). Reading the DER back would cost more than issuing it.
  ASSIGN_OR_RETURN(SpiffeId issued, IdFromLeaf(chain.front()));
  if (issued != id)
    return Error(StatusCode::kInternal, "issue X.509-SVID {}: the certificate says {}", id.str(), issued.str());
  return X509Svid::FromParts(std::move(issued), std::move(chain), std::move(key));
}

Result<Crl> Issuer::SignCrl(const CrlContent& content) const {
  return Crl::Sign(content, certificate(), state_->key);
}

const Certificate& Issuer::certificate() const {
  return *state_->certificate;
}
const std::vector<Certificate>& Issuer::chain_tail() const {
  return state_->chain_tail;
}
std::chrono::system_clock::time_point Issuer::not_after() const {
  return state_->not_after;
}

}  // namespace lanyard
