#include "pki/leaf_template.h"

#include <openssl/rand.h>

#include <ctime>

#include "pki/der.h"
#include "pki/hex.h"
#include "pki/leaf_profile.h"
#include "pki/openssl_ptr.h"
#include "pki/p256.h"

namespace lanyard {
namespace {

using std::string_view_literals::operator""sv;

// AlgorithmIdentifier ecdsa-with-SHA256 (RFC 5758 §3.2)
constexpr std::string_view kEcdsaSha256 = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"sv;
constexpr std::string_view kVersion3 = "\xa0\x03\x02\x01\x02"sv;
// Extensions, whole: key usage digitalSignature, critical; serverAuth and clientAuth; basic constraints CA:FALSE,
// critical
constexpr std::string_view kKeyUsage = "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80"sv;
constexpr std::string_view kExtendedKeyUsage =
    "\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"sv;
constexpr std::string_view kNotCa = "\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00"sv;
// Object identifiers that begin the others
constexpr std::string_view kAuthorityKeyIdOid = "\x06\x03\x55\x1d\x23"sv;
constexpr std::string_view kSubjectKeyIdOid = "\x06\x03\x55\x1d\x0e"sv;
constexpr std::string_view kSubjectAltNameOid = "\x06\x03\x55\x1d\x11"sv;
constexpr std::string_view kOrganizationOid = "\x06\x03\x55\x04\x0a"sv;
constexpr unsigned char kUtf8String = 0x0c, kSet = 0x31, kDnsName = 0x82, kUri = 0x86, kKeyIdentifier = 0x80,
                        kExtensionsTag = 0xa3;

constexpr std::size_t kSubjectKeyIdBytes = 20;

std::string ExtensionDer(std::string_view oid, std::string_view value) {
  return der::Tlv(der::kSequence, std::string(oid) + der::Tlv(der::kOctetString, value));
}

// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on
Status AppendTime(std::string& out, std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  const int year = gmtime_r(&seconds, &parts) != nullptr ? parts.tm_year + 1900 : 0;
  if (year < 1950 || year > 9999)
    return Error(StatusCode::kInvalidArgument, "year {} does not fit into a certificate", year);
  const std::string rest = fmt::format("{:02}{:02}{:02}{:02}{:02}Z", parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                                       parts.tm_min, parts.tm_sec);
  if (year < 2050) {
    der::Append(out, der::kUtcTime, fmt::format("{:02}", year % 100) + rest);
  } else {
    der::Append(out, der::kGeneralizedTime, fmt::format("{:04}", year) + rest);
  }
  return OkStatus();
}

std::string_view View(const unsigned char* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

Result<LeafTemplate> LeafTemplate::For(const Certificate& issuer, const PrivateKey& issuer_key) {
  if (issuer_key.type() != KeyType::kEcP256)
    return Error(StatusCode::kInvalidArgument, "leaf template: issuer's key is not P-256");
  Owned<EVP_MD, EVP_MD_free> sha1(EVP_MD_fetch(nullptr, "SHA1", nullptr));
  if (sha1 == nullptr) return OpenSslError("fetch SHA-1");

  LeafTemplate made;
  made.sha1_ = std::move(sha1);
  ASSIGN_OR_RETURN(made.signer_, P256Signer::For(issuer_key));
  const std::string subject =
      der::Tlv(der::kSequence, der::Tlv(kSet, der::Tlv(der::kSequence, std::string(kOrganizationOid) +
                                                                           der::Tlv(kUtf8String, kLeafOrganization))));
  made.after_serial_ = std::string(kEcdsaSha256) + issuer.subject_der();
  made.after_dates_ = subject + std::string(p256::kSpkiPrefix);
  made.fixed_extensions_ = std::string(kKeyUsage) + std::string(kExtendedKeyUsage) + std::string(kNotCa);
  // RFC 5280 §4.2.1.1: copied from the CA's certificate, since another program may have made its identifier another way
  if (!issuer.subject_key_id().empty()) {
    made.fixed_extensions_ +=
        ExtensionDer(kAuthorityKeyIdOid, der::Tlv(der::kSequence, der::Tlv(kKeyIdentifier, issuer.subject_key_id())));
  }

  made.fixed_fields_.key_usage = kLeafKeyUsage;
  made.fixed_fields_.key_usage_critical = true;
  made.fixed_fields_.extended_key_usage = ExtendedKeyUsage{true, true, {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}};
  made.fixed_fields_.authority_key_id = issuer.subject_key_id();
  made.fixed_fields_.subject_der = subject;
  made.fixed_fields_.issuer_der = issuer.subject_der();
  return made;
}

Result<WrittenLeaf> LeafTemplate::Write(const LeafContent& content, const PrivateKey& leaf_key) const {
  if (leaf_key.point() == nullptr)
    return Error(StatusCode::kInvalidArgument, "leaf template: leaf's key is not P-256 with a whole point");
  const std::string_view point = View(leaf_key.point()->data(), leaf_key.point()->size());
  // RFC 5280 §4.2.1.2, method (1): SHA-1 of the point; it names the key, it does not protect it
  unsigned char key_id[kSubjectKeyIdBytes];
  if (EVP_Digest(point.data(), point.size(), key_id, nullptr, sha1_.get(), nullptr) != 1) {
    return OpenSslError("hash public key");
  }
  unsigned char serial[kSerialBytes];
  if (RAND_bytes(serial, sizeof serial) != 1) return OpenSslError("make serial number");
  serial[0] = static_cast<unsigned char>(1 + serial[0] % 0x7f);  // 0x01..0x7f: positive and of full length

  std::string names;
  der::Append(names, kUri, content.id.str());
  for (const std::string& dns_name : content.dns_names) der::Append(names, kDnsName, dns_name);
  std::string extensions = fixed_extensions_;
  extensions += ExtensionDer(kSubjectKeyIdOid, der::Tlv(der::kOctetString, View(key_id, sizeof key_id)));
  extensions += ExtensionDer(kSubjectAltNameOid, der::Tlv(der::kSequence, names));

  std::string dates;
  RETURN_IF_ERROR(AppendTime(dates, content.not_before));
  RETURN_IF_ERROR(AppendTime(dates, content.not_after));

  std::string body(kVersion3);
  body.reserve(512 + extensions.size() + after_serial_.size());
  der::Append(body, der::kInteger, View(serial, sizeof serial));
  body += after_serial_;
  der::Append(body, der::kSequence, dates);
  body += after_dates_;
  body += point;
  der::Append(body, kExtensionsTag, der::Tlv(der::kSequence, extensions));

  std::string signed_part;
  signed_part.reserve(body.size() + 128);
  der::Append(signed_part, der::kSequence, body);
  ASSIGN_OR_RETURN(const std::string signature, signer_->Sign(signed_part));
  signed_part += kEcdsaSha256;
  der::AppendHeader(signed_part, der::kBitString, signature.size() + 1);
  signed_part += '\0';  // no unused bits
  signed_part += signature;

  WrittenLeaf leaf{der::Tlv(der::kSequence, signed_part), fixed_fields_};
  leaf.fields.uri_sans = {content.id.str()};
  leaf.fields.dns_sans = content.dns_names;
  leaf.fields.serial_hex = Hex(View(serial, sizeof serial));
  leaf.fields.not_before = content.not_before;
  leaf.fields.not_after = content.not_after;
  leaf.fields.subject_key_id = View(key_id, sizeof key_id);
  leaf.fields.spki_der = std::string(p256::kSpkiPrefix) + std::string(point);
  return leaf;
}

}  // namespace lanyard
