#include "pki/crl_builder.h"

#include <algorithm>

#include "pki/asn1.h"
#include "pki/certificate_builder.h"

namespace lanyard {
namespace {

using TimePoint = std::chrono::system_clock::time_point;
using AsnTimePtr = Owned<ASN1_TIME, ASN1_TIME_free>;
using RevokedPtr = Owned<X509_REVOKED, X509_REVOKED_free>;

Status Failed(std::string_view what) {
  return OpenSslError(fmt::format("write CRL: {}", what));
}

AsnTimePtr ToAsnTime(TimePoint time) {
  AsnTimePtr made(ASN1_TIME_new());
  return made != nullptr && SetTime(made.get(), time) ? std::move(made) : nullptr;
}

// The entries as they go into the list: a serial number as its bytes without zeros in front, so that one number has
// one spelling, and shorter numbers are smaller.
struct Entry {
  std::string serial;
  TimePoint revoked_at;

  bool operator<(const Entry& other) const {
    if (serial.size() != other.serial.size()) return serial.size() < other.serial.size();
    return serial != other.serial ? serial < other.serial : revoked_at < other.revoked_at;
  }
};

Result<std::string> SerialBytes(std::string_view hex) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    if (digit(hex[i]) < 0 || digit(hex[i + 1]) < 0) break;
    bytes += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  }
  if (hex.empty() || bytes.size() * 2 != hex.size() || bytes.size() > kMaxSerialBytes) {
    return Error(StatusCode::kInvalidArgument, "sign CRL: \"{}\" is no serial number: 1 to {} bytes in hexadecimal",
                 hex.substr(0, 2 * kMaxSerialBytes + 2), kMaxSerialBytes);
  }
  return bytes.substr(std::min(bytes.find_first_not_of('\0'), bytes.size()));
}

Result<std::vector<Entry>> EntriesOf(const CrlContent& content, TimePoint this_update) {
  std::vector<Entry> entries;
  for (const RevokedCertificate& revoked : content.revoked) {
    ASSIGN_OR_RETURN(std::string serial, SerialBytes(revoked.serial_hex));
    // What has expired is refused without a list, too. (RFC 5280 §3.3 wants it in one more list after that: with
    // certificates of minutes that would only make every list longer.)
    if (revoked.not_after <= this_update) continue;
    // A revocation of the last minute is as old as the list: in no verifier's eyes is it yet to come
    entries.push_back({std::move(serial), std::min(WholeSeconds(revoked.revoked_at), this_update)});
  }
  std::sort(entries.begin(), entries.end());
  const auto same = [](const Entry& a, const Entry& b) { return a.serial == b.serial; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  return entries;
}

Status AddEntry(X509_CRL* crl, const Entry& entry) {
  const BnPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(entry.serial.data()),
                               static_cast<int>(entry.serial.size()), nullptr));
  const IntegerPtr serial(number != nullptr ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
  const AsnTimePtr when = ToAsnTime(entry.revoked_at);
  RevokedPtr revoked(X509_REVOKED_new());
  if (serial == nullptr || when == nullptr || revoked == nullptr ||
      X509_REVOKED_set_serialNumber(revoked.get(), serial.get()) != 1 ||
      X509_REVOKED_set_revocationDate(revoked.get(), when.get()) != 1 ||
      X509_CRL_add0_revoked(crl, revoked.get()) != 1) {
    return Failed("entry");
  }
  static_cast<void>(revoked.release());  // the list owns it now
  return OkStatus();
}

// RFC 5280 §5.2.1: by key identifier, always. It is copied from the CA's certificate; where that has none it is made
// of the key (§4.2.1.2, method (1)), and nobody compares it with anything.
Status AddAuthorityKeyId(X509_CRL* crl, const Certificate& issuer) {
  std::string id = issuer.subject_key_id();
  if (id.empty()) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (X509_pubkey_digest(issuer.native(), EVP_sha1(), digest, &length) != 1)
      return Failed("authority key identifier");
    id.assign(reinterpret_cast<const char*>(digest), length);
  }
  const AuthorityKeyIdPtr authority = MakeAuthorityKeyId(id);
  if (authority == nullptr ||
      X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority.get(), 0, X509V3_ADD_APPEND) != 1) {
    return Failed("authority key identifier");
  }
  return OkStatus();
}

Status AddNumber(X509_CRL* crl, std::uint64_t number) {
  const IntegerPtr integer(ASN1_INTEGER_new());
  if (integer == nullptr || ASN1_INTEGER_set_uint64(integer.get(), number) != 1 ||
      X509_CRL_add1_ext_i2d(crl, NID_crl_number, integer.get(), 0, X509V3_ADD_APPEND) != 1) {
    return Failed("number");
  }
  return OkStatus();
}

}  // namespace

Result<std::string> WriteCrl(const CrlContent& content, const Certificate& issuer, const PrivateKey& key) {
  RETURN_IF_ERROR(Annotate(CheckMaySignCrls(issuer), "sign CRL"));
  const TimePoint this_update = WholeSeconds(content.this_update), next_update = WholeSeconds(content.next_update);
  if (next_update <= this_update) return Error(StatusCode::kInvalidArgument, "sign CRL: it would end before it begins");
  ASSIGN_OR_RETURN(const std::vector<Entry> entries, EntriesOf(content, this_update));

  const CrlPtr crl(X509_CRL_new());
  const AsnTimePtr begin = ToAsnTime(this_update), end = ToAsnTime(next_update);
  if (crl == nullptr || begin == nullptr || end == nullptr ||
      X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.native())) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), begin.get()) != 1 || X509_CRL_set1_nextUpdate(crl.get(), end.get()) != 1) {
    return Failed("issuer and dates");
  }
  for (const Entry& entry : entries) RETURN_IF_ERROR(AddEntry(crl.get(), entry));
  RETURN_IF_ERROR(AddAuthorityKeyId(crl.get(), issuer));
  RETURN_IF_ERROR(AddNumber(crl.get(), content.number));
  if (X509_CRL_sign(crl.get(), key.native(), DigestFor(key.type())) <= 0) return Failed("sign");
  unsigned char* raw = nullptr;
  const int length = i2d_X509_CRL(crl.get(), &raw);
  if (length <= 0) return Failed("encode");
  const OpenSslBytes owner(raw);
  return std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length));
}

}  // namespace lanyard
