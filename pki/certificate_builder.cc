#include "pki/certificate_builder.h"

#include <openssl/rand.h>

#include "pki/asn1.h"
#include "pki/leaf_profile.h"

namespace lanyard {
namespace {

using BasicConstraintsPtr = Owned<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free>;
using BitStringPtr = Owned<ASN1_BIT_STRING, ASN1_BIT_STRING_free>;
using GeneralNamePtr = Owned<GENERAL_NAME, GENERAL_NAME_free>;

Status Failed(std::string_view what) {
  return OpenSslError(fmt::format("write certificate: {}", what));
}

bool AppendName(GENERAL_NAMES* names, int type, std::string_view text) {
  ASN1_IA5STRING* value = ASN1_IA5STRING_new();
  GeneralNamePtr name(GENERAL_NAME_new());
  if (value == nullptr || name == nullptr || ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())) != 1) {
    ASN1_IA5STRING_free(value);
    return false;
  }
  GENERAL_NAME_set0_value(name.get(), type, value);
  if (sk_GENERAL_NAME_push(names, name.get()) <= 0) return false;
  static_cast<void>(name.release());  // the stack owns it now
  return true;
}

}  // namespace

const EVP_MD* DigestFor(KeyType issuer) {
  return issuer == KeyType::kEcP384 ? EVP_sha384() : EVP_sha256();
}

Result<CertificateBuilder> CertificateBuilder::Start(const PublicKey& key,
                                                     std::chrono::system_clock::time_point not_before,
                                                     std::chrono::system_clock::time_point not_after) {
  X509Ptr x509(X509_new());
  unsigned char serial[kSerialBytes];
  if (x509 == nullptr || RAND_bytes(serial, sizeof serial) != 1) return Failed("begin");
  serial[0] = static_cast<unsigned char>(1 + serial[0] % 0x7f);  // positive and of full length
  const BnPtr number(BN_bin2bn(serial, sizeof serial, nullptr));
  if (X509_set_version(x509.get(), X509_VERSION_3) != 1 || number == nullptr ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509.get())) == nullptr ||
      !SetTime(X509_getm_notBefore(x509.get()), not_before) || !SetTime(X509_getm_notAfter(x509.get()), not_after) ||
      X509_set_pubkey(x509.get(), key.native()) != 1) {
    return Failed("serial, dates and key");
  }
  return CertificateBuilder(std::move(x509));
}

Status CertificateBuilder::SetSubject(std::string_view organization, std::string_view common_name) {
  X509_NAME* subject = X509_get_subject_name(x509_.get());
  const auto add = [subject](const char* field, std::string_view text) {
    return X509_NAME_add_entry_by_txt(subject, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()), -1, 0) == 1;
  };
  if (!add("O", organization) || (!common_name.empty() && !add("CN", common_name))) return Failed("subject");
  return OkStatus();
}

Status CertificateBuilder::SetIssuerDer(std::string_view name_der) {
  const auto* at = reinterpret_cast<const unsigned char*>(name_der.data());
  const X509NamePtr name(d2i_X509_NAME(nullptr, &at, static_cast<long>(name_der.size())));
  if (name == nullptr || X509_set_issuer_name(x509_.get(), name.get()) != 1) return Failed("issuer");
  return OkStatus();
}

Status CertificateBuilder::SelfIssued() {
  if (X509_set_issuer_name(x509_.get(), X509_get_subject_name(x509_.get())) != 1) return Failed("issuer");
  return OkStatus();
}

Status CertificateBuilder::Add(int nid, void* value, Criticality criticality) {
  if (X509_add1_ext_i2d(x509_.get(), nid, value, criticality == Criticality::kCritical ? 1 : 0, X509V3_ADD_APPEND) !=
      1) {
    return Failed(OBJ_nid2ln(nid));
  }
  return OkStatus();
}

Status CertificateBuilder::AddBasicConstraints(bool is_ca) {
  const BasicConstraintsPtr constraints(BASIC_CONSTRAINTS_new());
  if (constraints == nullptr) return Failed("basic constraints");
  constraints->ca = is_ca ? 0xff : 0;
  return Add(NID_basic_constraints, constraints.get(), Criticality::kCritical);
}

Status CertificateBuilder::AddKeyUsage(std::uint32_t bits) {
  const BitStringPtr usage(ASN1_BIT_STRING_new());
  if (usage == nullptr) return Failed("key usage");
  for (int bit = 0; bit < 8; ++bit) {  // bit 0 is the highest (X.680 §22.2)
    if ((bits & (0x80U >> bit)) != 0 && ASN1_BIT_STRING_set_bit(usage.get(), bit, 1) != 1) return Failed("key usage");
  }
  return Add(NID_key_usage, usage.get(), Criticality::kCritical);
}

Status CertificateBuilder::AddExtendedKeyUsageForTls() {
  const ExtendedKeyUsagePtr usage(EXTENDED_KEY_USAGE_new());
  if (usage == nullptr || sk_ASN1_OBJECT_push(usage.get(), OBJ_nid2obj(NID_server_auth)) <= 0 ||
      sk_ASN1_OBJECT_push(usage.get(), OBJ_nid2obj(NID_client_auth)) <= 0) {
    return Failed("extended key usage");
  }
  return Add(NID_ext_key_usage, usage.get(), Criticality::kNormal);
}

Status CertificateBuilder::AddKeyIds(std::string_view authority_key_id) {
  if (!authority_key_id.empty()) {
    const AuthorityKeyIdPtr authority = MakeAuthorityKeyId(authority_key_id);
    if (authority == nullptr) return Failed("authority key identifier");
    RETURN_IF_ERROR(Add(NID_authority_key_identifier, authority.get(), Criticality::kNormal));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  const OctetStringPtr subject(ASN1_OCTET_STRING_new());
  // RFC 5280 §4.2.1.2, method (1)
  if (subject == nullptr || X509_pubkey_digest(x509_.get(), EVP_sha1(), digest, &length) != 1 ||
      ASN1_OCTET_STRING_set(subject.get(), digest, static_cast<int>(length)) != 1) {
    return Failed("subject key identifier");
  }
  return Add(NID_subject_key_identifier, subject.get(), Criticality::kNormal);
}

Status CertificateBuilder::AddNames(std::string_view uri, const std::vector<std::string>& dns_names) {
  const GeneralNamesPtr names(GENERAL_NAMES_new());
  if (names == nullptr || !AppendName(names.get(), GEN_URI, uri)) return Failed("names");
  for (const std::string& dns_name : dns_names) {
    if (!AppendName(names.get(), GEN_DNS, dns_name)) return Failed("names");
  }
  return Add(NID_subject_alt_name, names.get(), Criticality::kNormal);
}

Result<Certificate> CertificateBuilder::Sign(const PrivateKey& issuer_key) {
  if (X509_sign(x509_.get(), issuer_key.native(), DigestFor(issuer_key.type())) <= 0) return Failed("sign");
  return Certificate::FromNative(x509_.get());
}

}  // namespace lanyard
