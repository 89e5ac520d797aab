// A certificate that is accepted is DER, says what OpenSSL reads in it, and is the same after a round trip through DER
// and PEM. A list is its certificates one after another, and a leaf with an ID follows the profile, and signs nothing.
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "pki/certificate.h"
#include "pki/openssl_ptr.h"
#include "pki/x509_svid.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

bool Same(const CertificateFields& a, const CertificateFields& b) {
  const auto usages = [](const CertificateFields& fields) {
    return fields.extended_key_usage ? fields.extended_key_usage->oids : std::vector<std::string>{"none"};
  };
  return a.uri_sans == b.uri_sans && a.dns_sans == b.dns_sans && a.san_critical == b.san_critical &&
         a.serial_hex == b.serial_hex && a.not_before == b.not_before && a.not_after == b.not_after &&
         a.is_ca == b.is_ca && a.path_length == b.path_length && a.key_usage == b.key_usage &&
         a.key_usage_critical == b.key_usage_critical && usages(a) == usages(b) &&
         a.subject_key_id == b.subject_key_id && a.authority_key_id == b.authority_key_id &&
         a.subject_der == b.subject_der && a.issuer_der == b.issuer_der && a.spki_der == b.spki_der;
}

// Each by another way of OpenSSL's than the product goes.
void CompareWithOpenSsl(const Certificate& certificate) {
  const CertificateFields& fields = certificate.fields();
  const BioPtr bio(BIO_new_mem_buf(certificate.der().data(), static_cast<int>(certificate.der().size())));
  const X509Ptr theirs(d2i_X509_bio(bio.get(), nullptr));
  Require(theirs != nullptr && BIO_pending(bio.get()) == 0);

  const Owned<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free> constraints(
      static_cast<BASIC_CONSTRAINTS*>(X509_get_ext_d2i(theirs.get(), NID_basic_constraints, nullptr, nullptr)));
  Require(fields.is_ca == (constraints != nullptr && constraints->ca != 0));

  const Owned<ASN1_BIT_STRING, ASN1_BIT_STRING_free> usage(
      static_cast<ASN1_BIT_STRING*>(X509_get_ext_d2i(theirs.get(), NID_key_usage, nullptr, nullptr)));
  Require(fields.key_usage.has_value() == (usage != nullptr));
  if (usage != nullptr) {  // RFC 5280 §4.2.1.3: digitalSignature is bit 0, keyCertSign 5, cRLSign 6
    Require(certificate.HasKeyUsage(kKeyUsageDigitalSignature) == (ASN1_BIT_STRING_get_bit(usage.get(), 0) == 1));
    Require(certificate.HasKeyUsage(kKeyUsageKeyCertSign) == (ASN1_BIT_STRING_get_bit(usage.get(), 5) == 1));
    Require(certificate.HasKeyUsage(kKeyUsageCrlSign) == (ASN1_BIT_STRING_get_bit(usage.get(), 6) == 1));
  }

  // Texts are looked for as they stand in the bytes.
  for (const std::string& uri : fields.uri_sans) Require(certificate.der().find(uri) != std::string::npos);
  for (const std::string& name : fields.dns_sans) Require(certificate.der().find(name) != std::string::npos);
  const auto seconds = [](std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  };
  constexpr int64_t kEndOfOurClock = 9'000'000'000;  // a later date is read as that end
  if (const int64_t end = seconds(fields.not_after); end < kEndOfOurClock)
    Require(ASN1_TIME_cmp_time_t(X509_get0_notAfter(theirs.get()), end) == 0);
  if (const int64_t begin = seconds(fields.not_before); begin < kEndOfOurClock)
    Require(ASN1_TIME_cmp_time_t(X509_get0_notBefore(theirs.get()), begin) == 0);
}

void CheckOne(const Certificate& certificate) {
  const auto from_der = Certificate::FromDer(certificate.der());
  Require(from_der.ok() && *from_der == certificate && Same(from_der->fields(), certificate.fields()));
  const auto from_pem = Certificate::FromPem(certificate.ToPem());
  Require(from_pem.ok() && *from_pem == certificate);
  CompareWithOpenSsl(certificate);

  const auto key = certificate.public_key(), spki = PublicKey::FromSpkiDer(certificate.spki_der());
  Require(key.ok() == spki.ok() && (!key.ok() || key->SameAs(*spki)));

  const auto id = IdFromLeaf(certificate);
  const auto signing = CheckSigningCertificate(certificate);
  Require(!id.ok() || !signing.ok());
  if (id.ok()) {
    Require(certificate.uri_sans().size() == 1 && certificate.uri_sans()[0] == id->str() && !id->path().empty());
    Require(!certificate.is_ca() && certificate.HasKeyUsage(kKeyUsageDigitalSignature));
    Require(!certificate.HasKeyUsage(kKeyUsageKeyCertSign) && !certificate.HasKeyUsage(kKeyUsageCrlSign));
  } else {
    RequireTold(id.status(), StatusCode::kInvalidArgument);
  }
  if (signing.ok()) {
    Require(certificate.is_ca() && certificate.HasKeyUsage(kKeyUsageKeyCertSign));
  } else {
    RequireTold(signing.status(), StatusCode::kInvalidArgument);
  }
}

void CheckDer(std::string_view der) {
  const auto list = Certificate::ListFromDer(der);
  const auto one = Certificate::FromDer(der);
  Require(one.ok() == (list.ok() && list->size() == 1));
  if (!one.ok()) RequireTold(one.status(), StatusCode::kInvalidArgument);
  if (!list.ok()) return RequireTold(list.status(), StatusCode::kInvalidArgument);
  std::string together;
  for (const Certificate& certificate : *list) {
    together += certificate.der();
    CheckOne(certificate);
  }
  Require(together == der);
}

void CheckPem(std::string_view pem) {
  const auto list = Certificate::ListFromPem(pem);
  const auto one = Certificate::FromPem(pem);
  Require(one.ok() == (list.ok() && list->size() == 1));
  if (!one.ok()) RequireTold(one.status(), StatusCode::kInvalidArgument);
  if (!list.ok()) return RequireTold(list.status(), StatusCode::kInvalidArgument);
  std::string written;
  for (const Certificate& certificate : *list) {
    written += certificate.ToPem();
    CheckOne(certificate);
  }
  const auto again = Certificate::ListFromPem(written);
  Require(again.ok() && *again == *list);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lanyard::CheckDer(lanyard::AsText(data, size));
  lanyard::CheckPem(lanyard::AsText(data, size));
  return 0;
}
