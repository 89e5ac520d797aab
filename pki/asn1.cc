#include "pki/asn1.h"

#include <algorithm>
#include <ctime>

#include "pki/hex.h"

namespace lanyard {

using TimePoint = std::chrono::system_clock::time_point;

Result<TimePoint> ToTimePoint(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return OpenSslError("read date", StatusCode::kInvalidArgument);
  const std::chrono::seconds seconds(timegm(&parts));
  constexpr auto kMin = std::chrono::ceil<std::chrono::seconds>(TimePoint::min().time_since_epoch());
  constexpr auto kMax = std::chrono::floor<std::chrono::seconds>(TimePoint::max().time_since_epoch());
  return TimePoint(std::clamp(seconds, kMin, kMax));
}

bool SetTime(ASN1_TIME* field, TimePoint time) {
  return ASN1_TIME_adj(field, std::chrono::system_clock::to_time_t(time), 0, 0) != nullptr;
}

std::string IntegerHex(const ASN1_INTEGER* number) {
  return ((ASN1_STRING_type(number) & V_ASN1_NEG) != 0 ? "-" : "") + Hex(View(number));
}

Result<std::string> NameDer(const X509_NAME* name) {
  const unsigned char* bytes = nullptr;
  std::size_t length = 0;
  if (X509_NAME_get0_der(name, &bytes, &length) != 1) return OpenSslError("read name", StatusCode::kInvalidArgument);
  return std::string(reinterpret_cast<const char*>(bytes), length);
}

AuthorityKeyIdPtr MakeAuthorityKeyId(std::string_view key_id) {
  AuthorityKeyIdPtr made(AUTHORITY_KEYID_new());
  if (made == nullptr || (made->keyid = ASN1_OCTET_STRING_new()) == nullptr ||
      ASN1_OCTET_STRING_set(made->keyid, reinterpret_cast<const unsigned char*>(key_id.data()),
                            static_cast<int>(key_id.size())) != 1) {
    return nullptr;
  }
  return made;
}

}  // namespace lanyard
