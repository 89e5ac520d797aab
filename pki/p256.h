// P-256 keys as bytes, without OpenSSL's encoders, which take longer than making the key.
//
// Thread: any. For this room; others see no more of it than the type of a point.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/secret_bytes.h"

struct evp_pkey_st;

namespace lanyard::p256 {

using Point = std::array<unsigned char, 65>;  // uncompressed, SEC1 §2.3.3

// SubjectPublicKeyInfo up to the point: id-ecPublicKey, prime256v1 (RFC 5480 §2.1).
inline constexpr std::string_view kSpkiPrefix(
    "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00", 26);

// The public point of a P-256 key.
Result<Point> PointOf(const evp_pkey_st* key);

// PKCS#8 (RFC 5208) around an ECPrivateKey (RFC 5915) with its public point: byte for byte what OpenSSL writes.
Result<SecretBytes> ToPkcs8Der(const evp_pkey_st* key, const Point& point);

}  // namespace lanyard::p256
