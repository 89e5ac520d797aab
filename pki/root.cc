#include "pki/root.h"

#include "pki/certificate_builder.h"
#include "pki/leaf_profile.h"
#include "pki/x509_svid.h"

namespace lanyard {

Result<SelfSignedCa> MakeRootCa(const TrustDomain& trust_domain, KeyType key_type,
                                std::chrono::system_clock::time_point not_before,
                                std::chrono::system_clock::time_point not_after) {
  if (not_after <= not_before)
    return Error(StatusCode::kInvalidArgument, "make root CA: it would end before it begins");
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(key_type));
  ASSIGN_OR_RETURN(CertificateBuilder builder, CertificateBuilder::Start(key.public_key(), not_before, not_after));
  // X.520 limits a common name to 64 characters; the name that counts is the URI
  const bool short_enough = trust_domain.name().size() <= 64;
  RETURN_IF_ERROR(builder.SetSubject(kLeafOrganization, short_enough ? trust_domain.name() : std::string_view()));
  RETURN_IF_ERROR(builder.SelfIssued());
  // X509-SVID §4.1 and §4.3
  RETURN_IF_ERROR(builder.AddBasicConstraints(true));
  RETURN_IF_ERROR(builder.AddKeyUsage(kKeyUsageKeyCertSign | kKeyUsageCrlSign));
  RETURN_IF_ERROR(builder.AddKeyIds(""));
  // X509-SVID §3.2: the signing certificate's ID is that of the trust domain, without a path
  RETURN_IF_ERROR(builder.AddNames(trust_domain.id(), {}));
  ASSIGN_OR_RETURN(Certificate certificate, builder.Sign(key));
  RETURN_IF_ERROR(CheckSigningCertificate(certificate).status());
  return SelfSignedCa{std::move(certificate), std::move(key)};
}

}  // namespace lanyard
