// Values of OpenSSL's ASN.1 types as ours, for certificates and CRLs alike.
//
// Thread: any. Private to this room.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/openssl_ptr.h"

namespace lanyard {

inline std::string_view View(const ASN1_STRING* s) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)), static_cast<std::size_t>(ASN1_STRING_length(s))};
}

// A certificate may be valid until the year 9999, our clock's nanoseconds end in 2262: later dates become that end.
Result<std::chrono::system_clock::time_point> ToTimePoint(const ASN1_TIME* time);
// Chooses UTCTime or GeneralizedTime by the year, as RFC 5280 §4.1.2.5 and §5.1.2.4 want it.
bool SetTime(ASN1_TIME* field, std::chrono::system_clock::time_point time);
// These dates have no fractions of a second.
inline std::chrono::system_clock::time_point WholeSeconds(std::chrono::system_clock::time_point time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

// Lower case, two digits a byte, at least one byte, with a minus before a negative number.
std::string IntegerHex(const ASN1_INTEGER* number);

Result<std::string> NameDer(const X509_NAME* name);

// With nothing but the key identifier (RFC 5280 §4.2.1.1); null when there is no memory for it.
AuthorityKeyIdPtr MakeAuthorityKeyId(std::string_view key_id);

}  // namespace lanyard
