#include "pki/crl.h"

#include <openssl/err.h>

#include <algorithm>

#include "pki/asn1.h"
#include "pki/crl_builder.h"
#include "pki/openssl_ptr.h"
#include "pki/pem.h"

namespace lanyard {
namespace {

constexpr int kMaxExtensions = 64;
constexpr std::string_view kPemLabel = "X509 CRL";

Status Broken(std::string_view what) {
  return Error(StatusCode::kInvalidArgument, "{}", what);
}

// RFC 5280 §5.2: an extension that is critical and not understood makes the list useless; §4.2, which §5.2 follows:
// none comes twice.
Status CheckExtensions(const X509_CRL* crl) {
  const int count = X509_CRL_get_ext_count(crl);
  if (count > kMaxExtensions) return Broken(fmt::format("{} extensions, at most {} are read", count, kMaxExtensions));
  for (int i = 0; i < count; ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(crl, i);
    const ASN1_OBJECT* oid = X509_EXTENSION_get_object(extension);
    char name[80] = "";
    OBJ_obj2txt(name, sizeof name, oid, 0);
    if (X509_CRL_get_ext_by_OBJ(crl, oid, i) >= 0) return Broken(fmt::format("extension {} appears twice", name));
    const int nid = OBJ_obj2nid(oid);
    // RFC 5280 §5.2.4 and §5.2.5
    if (nid == NID_delta_crl) return Broken("it is a delta, which only says what has changed");
    if (nid == NID_issuing_distribution_point) {
      return Broken("it has an issuing distribution point: it may leave out certificates, or speak for another CA");
    }
    const bool known = nid == NID_authority_key_identifier || nid == NID_crl_number;
    if (!known && X509_EXTENSION_get_critical(extension) == 1) {
      return Broken(fmt::format("critical extension {} is not understood", name));
    }
  }
  return OkStatus();
}

Status ReadExtensions(const X509_CRL* crl, CrlFields& fields) {
  int critical = -1;
  const AuthorityKeyIdPtr authority(
      static_cast<AUTHORITY_KEYID*>(X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, &critical, nullptr)));
  if (authority == nullptr && critical != -1)
    return OpenSslError("read authority key identifier", StatusCode::kInvalidArgument);
  if (authority != nullptr && authority->keyid != nullptr) fields.authority_key_id = View(authority->keyid);
  const IntegerPtr number(static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl, NID_crl_number, &critical, nullptr)));
  if (number == nullptr && critical != -1) return OpenSslError("read CRL number", StatusCode::kInvalidArgument);
  if (number != nullptr) fields.number_hex = IntegerHex(number.get());
  return OkStatus();
}

Status ReadEntries(X509_CRL* crl, CrlFields& fields) {
  const STACK_OF(X509_REVOKED)* revoked = X509_CRL_get_REVOKED(crl);
  const int count = sk_X509_REVOKED_num(revoked);  // -1 without any
  fields.entries.reserve(static_cast<std::size_t>(std::max(count, 0)));
  for (int i = 0; i < count; ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(revoked, i);
    const ASN1_INTEGER* serial = X509_REVOKED_get0_serialNumber(entry);
    if (View(serial).size() > kMaxSerialBytes) {
      return Broken(fmt::format("entry {}: a serial number of {} bytes, at most {} are allowed", i + 1,
                                View(serial).size(), kMaxSerialBytes));
    }
    // RFC 5280 §5.3: as above; the only one that standards make critical names another CA (§5.3.3)
    for (int at = 0; at < X509_REVOKED_get_ext_count(entry); ++at) {
      if (X509_EXTENSION_get_critical(X509_REVOKED_get_ext(entry, at)) == 1) {
        return Broken(fmt::format("entry {}: a critical extension, which may name another CA", i + 1));
      }
    }
    auto revoked_at = ToTimePoint(X509_REVOKED_get0_revocationDate(entry));
    if (!revoked_at.ok()) return Annotate(revoked_at.status(), "entry {}", i + 1);
    fields.entries.push_back({IntegerHex(serial), *revoked_at});
  }
  return OkStatus();
}

Result<CrlFields> ReadFields(X509_CRL* crl) {
  // RFC 5280 §5.1.2.1: version 2, which the encoding counts as 1; old programs write version 1, without extensions
  const long version = X509_CRL_get_version(crl);
  if (version != X509_CRL_VERSION_1 && version != X509_CRL_VERSION_2)
    return Broken(fmt::format("version {}", version + 1));
  if (version == X509_CRL_VERSION_1 && X509_CRL_get_ext_count(crl) > 0) return Broken("extensions in version 1");
  RETURN_IF_ERROR(CheckExtensions(crl));
  CrlFields fields;
  RETURN_IF_ERROR(ReadExtensions(crl, fields));
  ASSIGN_OR_RETURN(fields.issuer_der, NameDer(X509_CRL_get_issuer(crl)));
  ASSIGN_OR_RETURN(fields.this_update, ToTimePoint(X509_CRL_get0_lastUpdate(crl)));
  // RFC 5280 §5.1.2.5: nextUpdate is there; without it a list that was withheld would never be missed
  const ASN1_TIME* next_update = X509_CRL_get0_nextUpdate(crl);
  if (next_update == nullptr) return Broken("it does not say when the next one comes (nextUpdate)");
  ASSIGN_OR_RETURN(fields.next_update, ToTimePoint(next_update));
  if (fields.next_update <= fields.this_update) return Broken("it ends before it begins");
  RETURN_IF_ERROR(ReadEntries(crl, fields));
  ERR_clear_error();
  return fields;
}

}  // namespace

Status CheckMaySignCrls(const Certificate& issuer) {
  // RFC 5280 §4.2.1.3 and §6.3.3 (f)
  if (!issuer.fields().key_usage.has_value() || issuer.HasKeyUsage(kKeyUsageCrlSign)) return OkStatus();
  return Error(StatusCode::kFailedPrecondition,
               "the issuer's certificate has no key usage cRLSign: no verifier accepts a CRL that it signs");
}

struct Crl::State {
  std::string der;
  CrlFields fields;
  CrlPtr native;
};

Result<Crl> Crl::FromDer(std::string_view der) {
  if (der.size() > kMaxCrlBytes) {
    return Error(StatusCode::kInvalidArgument, "read CRL: {} bytes, at most {} are read", der.size(), kMaxCrlBytes);
  }
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* begin = at;
  CrlPtr native(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())));
  if (native == nullptr) return OpenSslError("read CRL", StatusCode::kInvalidArgument);
  if (const std::size_t rest = der.size() - static_cast<std::size_t>(at - begin); rest > 0)
    return Error(StatusCode::kInvalidArgument, "read CRL: {} bytes follow it", rest);
  // OpenSSL also reads BER, see Certificate::ListFromDer
  unsigned char* raw = nullptr;
  const int length = i2d_X509_CRL(native.get(), &raw);
  const OpenSslBytes owner(raw);
  if (length < 0 || der != std::string_view(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length)))
    return Error(StatusCode::kInvalidArgument, "read CRL: it is not encoded as DER");
  auto fields = ReadFields(native.get());
  if (!fields.ok()) return Annotate(fields.status(), "read CRL");
  return Crl(std::make_shared<const State>(State{std::string(der), *std::move(fields), std::move(native)}));
}

Result<std::vector<Crl>> Crl::ListFromPem(std::string_view pem) {
  const Result<std::vector<std::string>> blocks = PemBlocks(pem, kPemLabel);
  if (!blocks.ok()) return Annotate(blocks.status(), "read CRLs");
  std::vector<Crl> crls;
  for (const std::string& block : *blocks) {
    Result<Crl> one = FromDer(block);
    if (!one.ok()) return Annotate(one.status(), "PEM block {}", crls.size() + 1);
    crls.push_back(*std::move(one));
  }
  if (crls.empty()) return Error(StatusCode::kInvalidArgument, "read CRLs: no X509 CRL block found");
  return crls;
}

Result<Crl> Crl::Sign(const CrlContent& content, const Certificate& issuer, const PrivateKey& key) {
  ASSIGN_OR_RETURN(const std::string der, WriteCrl(content, issuer, key));
  ASSIGN_OR_RETURN(Crl crl, FromDer(der));
  // Never handed out: what a verifier would refuse, such as a list of an issuer whose key is not this one
  RETURN_IF_ERROR(Annotate(crl.CheckSignedBy(issuer), "sign CRL"));
  return crl;
}

const std::string& Crl::der() const {
  return state_->der;
}
const CrlFields& Crl::fields() const {
  return state_->fields;
}
std::string Crl::ToPem() const {
  return PemBlock(kPemLabel, der());
}

Status Crl::CheckSignedBy(const Certificate& issuer) const {
  const auto refused = [](std::string_view why) { return Error(StatusCode::kUnauthenticated, "{}", why); };
  if (fields().issuer_der != issuer.subject_der()) return refused("the CRL names another issuer");
  // RFC 5280 §5.2.1: two CAs may have one name, for example before and after a change of key
  if (!fields().authority_key_id.empty() && !issuer.subject_key_id().empty() &&
      fields().authority_key_id != issuer.subject_key_id()) {
    return refused("the CRL is of an issuer with this name, but another key");
  }
  RETURN_IF_ERROR(CheckMaySignCrls(issuer));
  EVP_PKEY* key = X509_get0_pubkey(issuer.native());
  const bool valid = key != nullptr && X509_CRL_verify(state_->native.get(), key) == 1;
  ERR_clear_error();
  return valid ? OkStatus() : refused("the signature of the CRL is not its issuer's");
}

}  // namespace lanyard
