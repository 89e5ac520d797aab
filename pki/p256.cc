#include "pki/p256.h"

#include <openssl/core_names.h>

#include <algorithm>

#include "pki/openssl_ptr.h"

namespace lanyard::p256 {
namespace {

constexpr std::size_t kScalarBytes = 32;
constexpr std::string_view kPkcs8Prefix(
    "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04"
    "\x6d"
    "\x30\x6b\x02\x01\x01\x04\x20",
    36);
constexpr std::string_view kPkcs8Middle("\xa1\x44\x03\x42\x00", 5);

}  // namespace

Result<Point> PointOf(const evp_pkey_st* key) {
  Point point;
  std::size_t length = 0;
  if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size(), &length) != 1) {
    return OpenSslError("read public point of P-256 key");
  }
  if (length != point.size() || point[0] != 0x04) {
    return Error(StatusCode::kInvalidArgument, "public point of P-256 key is not in uncompressed form");
  }
  return point;
}

Result<SecretBytes> ToPkcs8Der(const evp_pkey_st* key, const Point& point) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &raw) != 1) return OpenSslError("read P-256 private key");
  const BnPtr scalar(raw);

  SecretBytes der(kPkcs8Prefix.size() + kScalarBytes + kPkcs8Middle.size() + point.size());
  char* out = std::copy(kPkcs8Prefix.begin(), kPkcs8Prefix.end(), der.mutable_data());
  if (BN_bn2binpad(scalar.get(), reinterpret_cast<unsigned char*>(out), kScalarBytes) !=
      static_cast<int>(kScalarBytes)) {
    return OpenSslError("write P-256 private key");
  }
  out = std::copy(kPkcs8Middle.begin(), kPkcs8Middle.end(), out + kScalarBytes);
  std::copy(point.begin(), point.end(), out);
  return der;
}

}  // namespace lanyard::p256
