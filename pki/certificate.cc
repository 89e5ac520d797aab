#include "pki/certificate.h"

#include <openssl/err.h>

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <mutex>

#include "pki/asn1.h"
#include "pki/openssl_ptr.h"
#include "pki/pem.h"

namespace lanyard {
namespace {

constexpr std::size_t kMaxDerBytes = std::size_t{64} * 1024;
constexpr int kMaxExtensions = 64;
constexpr std::string_view kPemLabel = "CERTIFICATE";

// RFC 5280 §4.2: an extension appears at most once. Readers that take the first and readers that take the last would
// disagree.
Status CheckExtensionsOnce(const X509* x) {
  const int count = X509_get_ext_count(x);
  if (count > kMaxExtensions) {
    return Error(StatusCode::kInvalidArgument, "{} extensions, at most {} are read", count, kMaxExtensions);
  }
  for (int i = 0; i < count; ++i) {
    const ASN1_OBJECT* oid = X509_EXTENSION_get_object(X509_get_ext(x, i));
    if (X509_get_ext_by_OBJ(x, oid, i) < 0) continue;
    char name[80] = "";
    OBJ_obj2txt(name, sizeof name, oid, 0);
    return Error(StatusCode::kInvalidArgument, "extension {} appears twice", name);
  }
  return OkStatus();
}

Status ReadNames(const X509* x, CertificateFields& fields) {
  int critical = -1;
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x, NID_subject_alt_name, &critical, nullptr)));
  if (names == nullptr) {
    if (critical == -1) return OkStatus();  // no such extension
    return OpenSslError("read subject alternative names", StatusCode::kInvalidArgument);
  }
  fields.san_critical = critical == 1;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) fields.uri_sans.emplace_back(View(name->d.uniformResourceIdentifier));
    if (name->type == GEN_DNS) fields.dns_sans.emplace_back(View(name->d.dNSName));
  }
  return OkStatus();
}

Status ReadUsages(X509* x, CertificateFields& fields) {
  if ((X509_get_extension_flags(x) & EXFLAG_KUSAGE) != 0) {
    fields.key_usage = X509_get_key_usage(x);
    const int at = X509_get_ext_by_NID(x, NID_key_usage, -1);
    fields.key_usage_critical = X509_EXTENSION_get_critical(X509_get_ext(x, at)) == 1;
  }
  int critical = -1;
  const ExtendedKeyUsagePtr usages(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(x, NID_ext_key_usage, &critical, nullptr)));
  if (usages == nullptr) {
    if (critical == -1) return OkStatus();
    return OpenSslError("read extended key usage", StatusCode::kInvalidArgument);
  }
  ExtendedKeyUsage usage;
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    const ASN1_OBJECT* oid = sk_ASN1_OBJECT_value(usages.get(), i);
    usage.server_auth |= OBJ_obj2nid(oid) == NID_server_auth;
    usage.client_auth |= OBJ_obj2nid(oid) == NID_client_auth;
    char text[128] = "";
    OBJ_obj2txt(text, sizeof text, oid, 1);
    usage.oids.emplace_back(text);
  }
  fields.extended_key_usage = std::move(usage);
  return OkStatus();
}

Result<CertificateFields> ReadFields(X509* x) {
  RETURN_IF_ERROR(CheckExtensionsOnce(x));
  CertificateFields fields;
  // Parses and caches all standard extensions; those that do not parse or contradict each other set EXFLAG_INVALID
  X509_check_purpose(x, -1, 0);
  const std::uint32_t flags = X509_get_extension_flags(x);
  if ((flags & EXFLAG_INVALID) != 0) return OpenSslError("extensions are invalid", StatusCode::kInvalidArgument);
  fields.is_ca = (flags & EXFLAG_CA) != 0;
  if (const long length = X509_get_pathlen(x); length >= 0) {
    fields.path_length = static_cast<int>(std::min<long>(length, std::numeric_limits<int>::max()));
  }
  RETURN_IF_ERROR(ReadNames(x, fields));
  RETURN_IF_ERROR(ReadUsages(x, fields));
  fields.serial_hex = IntegerHex(X509_get0_serialNumber(x));
  ASSIGN_OR_RETURN(fields.not_before, ToTimePoint(X509_get0_notBefore(x)));
  ASSIGN_OR_RETURN(fields.not_after, ToTimePoint(X509_get0_notAfter(x)));
  if (const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(x)) fields.subject_key_id = View(id);
  if (const ASN1_OCTET_STRING* id = X509_get0_authority_key_id(x)) fields.authority_key_id = View(id);
  ASSIGN_OR_RETURN(fields.subject_der, NameDer(X509_get_subject_name(x)));
  ASSIGN_OR_RETURN(fields.issuer_der, NameDer(X509_get_issuer_name(x)));
  unsigned char* spki = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki);
  if (length <= 0) return OpenSslError("read public key", StatusCode::kInvalidArgument);
  const OpenSslBytes owner(spki);
  fields.spki_der.assign(reinterpret_cast<const char*>(spki), static_cast<std::size_t>(length));
  ERR_clear_error();
  return fields;
}

}  // namespace

// `x509` of a certificate that we wrote ourselves is made when somebody first asks: reading it back costs as much as
// issuing it.
struct Certificate::State {
  State(std::string bytes, CertificateFields says, X509Ptr native)
      : der(std::move(bytes)), fields(std::move(says)), x509(std::move(native)) {}

  std::string der;
  CertificateFields fields;
  mutable std::once_flag once;
  mutable X509Ptr x509;
};

const std::string& Certificate::der() const {
  return state_->der;
}
const CertificateFields& Certificate::fields() const {
  return state_->fields;
}

Certificate Certificate::FromParts(std::string der, CertificateFields fields) {
  return Certificate(std::make_shared<const State>(std::move(der), std::move(fields), nullptr));
}

Result<std::vector<Certificate>> Certificate::ListFromDer(std::string_view der) {
  std::vector<Certificate> certificates;
  while (!der.empty()) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    const unsigned char* begin = at;
    const std::size_t limit = std::min(der.size(), kMaxDerBytes);
    X509Ptr x509(d2i_X509(nullptr, &at, static_cast<long>(limit)));
    if (x509 == nullptr) {
      return OpenSslError(fmt::format("read certificate {}", certificates.size() + 1), StatusCode::kInvalidArgument);
    }
    const std::string_view own = der.substr(0, static_cast<std::size_t>(at - begin));
    // OpenSSL also reads BER. Two spellings of one certificate would be two certificates to everybody who compares
    // bytes.
    unsigned char* raw = nullptr;
    const int length = i2d_X509(x509.get(), &raw);
    const OpenSslBytes owner(raw);
    if (length < 0 || own != std::string_view(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length))) {
      return Error(StatusCode::kInvalidArgument, "read certificate {}: it is not encoded as DER",
                   certificates.size() + 1);
    }
    Result<CertificateFields> fields = ReadFields(x509.get());
    if (!fields.ok()) return Annotate(fields.status(), "read certificate {}", certificates.size() + 1);
    certificates.push_back(
        Certificate(std::make_shared<const State>(std::string(own), *std::move(fields), std::move(x509))));
    der.remove_prefix(own.size());
  }
  if (certificates.empty()) return Error(StatusCode::kInvalidArgument, "read certificates: there are none");
  return certificates;
}

Result<Certificate> Certificate::FromDer(std::string_view der) {
  ASSIGN_OR_RETURN(std::vector<Certificate> certificates, ListFromDer(der));
  if (certificates.size() != 1) {
    return Error(StatusCode::kInvalidArgument, "read certificate: found {}, expected exactly 1", certificates.size());
  }
  return std::move(certificates.front());
}

Result<std::vector<Certificate>> Certificate::ListFromPem(std::string_view pem) {
  const Result<std::vector<std::string>> blocks = PemBlocks(pem, kPemLabel);
  if (!blocks.ok()) return Annotate(blocks.status(), "read certificates");
  std::vector<Certificate> certificates;
  for (const std::string& block : *blocks) {
    Result<Certificate> one = FromDer(block);
    if (!one.ok()) return Annotate(one.status(), "PEM block {}", certificates.size() + 1);
    certificates.push_back(*std::move(one));
  }
  if (certificates.empty()) return Error(StatusCode::kInvalidArgument, "read certificates: no CERTIFICATE block found");
  return certificates;
}

Result<Certificate> Certificate::FromPem(std::string_view pem) {
  ASSIGN_OR_RETURN(std::vector<Certificate> certificates, ListFromPem(pem));
  if (certificates.size() != 1) {
    return Error(StatusCode::kInvalidArgument, "read certificate: found {}, expected exactly 1", certificates.size());
  }
  return std::move(certificates.front());
}

Result<Certificate> Certificate::FromNative(x509_st* borrowed) {
  unsigned char* raw = nullptr;
  const int length = i2d_X509(borrowed, &raw);
  if (length <= 0) return OpenSslError("write certificate");
  const OpenSslBytes owner(raw);
  return FromDer({reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length)});
}

std::string Certificate::ToPem() const {
  return PemBlock(kPemLabel, der());
}

x509_st* Certificate::native() const {
  std::call_once(state_->once, [state = state_.get()] {
    if (state->x509 != nullptr) return;
    const auto* at = reinterpret_cast<const unsigned char*>(state->der.data());
    state->x509.reset(d2i_X509(nullptr, &at, static_cast<long>(state->der.size())));
    if (state->x509 != nullptr) {
      // OpenSSL's checks of names and purposes read what this caches, and see no extensions at all without it
      X509_check_purpose(state->x509.get(), -1, 0);
      return;
    }
    // Only bytes that Lanyard has encoded itself come here
    std::fprintf(stderr, "lanyard: a certificate that was written here cannot be read back: out of memory or a bug\n");
    std::abort();
  });
  return state_->x509.get();
}

Result<PublicKey> Certificate::public_key() const {
  PkeyPtr key(X509_get_pubkey(native()));
  if (key == nullptr) return OpenSslError("read public key of certificate", StatusCode::kInvalidArgument);
  return PublicKey(std::shared_ptr<EVP_PKEY>(std::move(key)));
}

bool Certificate::SignedBy(const Certificate& issuer) const {
  EVP_PKEY* key = X509_get0_pubkey(issuer.native());
  const bool valid = key != nullptr && X509_verify(native(), key) == 1;
  ERR_clear_error();
  return valid;
}

}  // namespace lanyard
