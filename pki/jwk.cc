#include "pki/jwk.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <array>
#include <nlohmann/json.hpp>

#include "pki/base64.h"
#include "pki/openssl_ptr.h"
#include "pki/strict_json.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

constexpr int kLeastRsaBits = 2048, kMostRsaBits = 8192;

struct Curve {
  JwkKind kind;
  std::string_view name;   // of JOSE, RFC 7518 §6.2.1.1
  std::string_view group;  // of OpenSSL
  int bytes;               // of a coordinate
};
constexpr std::array kCurves = {Curve{JwkKind::kP256, "P-256", "prime256v1", 32},
                                Curve{JwkKind::kP384, "P-384", "secp384r1", 48},
                                Curve{JwkKind::kP521, "P-521", "secp521r1", 66}};

const Curve* FindCurve(std::string_view name) {
  for (const Curve& curve : kCurves) {
    if (name == curve.name) return &curve;
  }
  return nullptr;
}

const Curve* CurveOf(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return nullptr;
  char group[64] = "";
  std::size_t length = 0;
  if (EVP_PKEY_get_group_name(key, group, sizeof group, &length) != 1) return nullptr;
  for (const Curve& curve : kCurves) {
    if (std::string_view(group) == curve.group || std::string_view(group) == curve.name) return &curve;
  }
  return nullptr;
}

Status NoSuchKind() {
  return Wrong("the key is neither RSA nor EC on P-256, P-384 or P-521");
}

Status CheckRsaBits(int bits) {
  if (kLeastRsaBits <= bits && bits <= kMostRsaBits) return OkStatus();
  return Wrong("an RSA key of {} bits; {} to {} are accepted", bits, kLeastRsaBits, kMostRsaBits);
}

// `bytes` long, or as short as it can be if that is 0.
Result<std::string> Number(const EVP_PKEY* key, const char* param, int bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, param, &raw) != 1) return OpenSslError("read public key");
  const BnPtr number(raw);
  std::string out(static_cast<std::size_t>(bytes > 0 ? bytes : BN_num_bytes(number.get())), '\0');
  if (BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) < 0) {
    return OpenSslError("read public key");
  }
  return Base64UrlEncode(out);
}

Result<std::string> BytesMember(const nlohmann::json& jwk, const char* name) {
  const std::string* text = StringMember(jwk, name);
  if (text == nullptr) return Wrong("\"{}\" is missing or not a string", name);
  auto bytes = Base64UrlDecode(*text);
  if (!bytes.ok()) return Annotate(bytes.status(), "\"{}\"", name);
  return bytes;
}

Result<PublicKey> Make(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return OpenSslError("the numbers are no public key", StatusCode::kInvalidArgument);
  }
  const PkeyPtr key(raw);
  return PublicKey::FromNative(key.get());
}

Result<PublicKey> ReadEc(const nlohmann::json& jwk) {
  const std::string* crv = StringMember(jwk, "crv");
  const Curve* curve = crv != nullptr ? FindCurve(*crv) : nullptr;
  if (curve == nullptr) return Wrong("\"crv\" is none of P-256, P-384 and P-521");
  ASSIGN_OR_RETURN(const std::string x, BytesMember(jwk, "x"));
  ASSIGN_OR_RETURN(const std::string y, BytesMember(jwk, "y"));
  const auto bytes = static_cast<std::size_t>(curve->bytes);
  // RFC 7518 §6.2.1.2: the full length of a coordinate, with the zeros before it
  if (x.size() != bytes || y.size() != bytes) return Wrong("a coordinate on {} has {} bytes", curve->name, bytes);
  const std::string point = "\x04" + x + y;  // SEC 1 §2.3.3, uncompressed; reading it checks that it is on the curve
  const ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve->group.data(),
                                      curve->group.size()) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return OpenSslError("make EC public key");
  }
  return Make("EC", builder.get());
}

// RFC 7518 §2, Base64urlUInt: as few bytes as the number needs.
Result<BnPtr> ReadNumber(const nlohmann::json& jwk, const char* name) {
  ASSIGN_OR_RETURN(const std::string bytes, BytesMember(jwk, name));
  if (bytes.empty() || bytes.front() == '\0') return Wrong("\"{}\" is empty or has zeros before it", name);
  if (bytes.size() > kMostRsaBits / 8) return Wrong("\"{}\" has {} bytes", name, bytes.size());
  BnPtr number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
  if (number == nullptr) return OpenSslError("read a number");
  return number;
}

Result<PublicKey> ReadRsa(const nlohmann::json& jwk) {
  ASSIGN_OR_RETURN(const BnPtr n, ReadNumber(jwk, "n"));
  ASSIGN_OR_RETURN(const BnPtr e, ReadNumber(jwk, "e"));
  RETURN_IF_ERROR(CheckRsaBits(BN_num_bits(n.get())));
  if (BN_is_odd(n.get()) != 1) return Wrong("\"n\" is even");
  // FIPS 186-5 §A.1.1 wants more than 2^16 and less than 2^256; 3 is still met. A long one only costs time
  if (BN_is_odd(e.get()) != 1 || BN_is_one(e.get()) || BN_num_bits(e.get()) > 64) {
    return Wrong("\"e\" is not an odd number from 3 to 2^64");
  }
  const ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return OpenSslError("make RSA public key");
  }
  return Make("RSA", builder.get());
}

}  // namespace

std::string_view JwkKindName(JwkKind kind) {
  for (const Curve& curve : kCurves) {
    if (kind == curve.kind) return curve.name;
  }
  return "RSA";
}

Result<JwkKind> JwkKindOf(const PublicKey& key) {
  if (const Curve* curve = CurveOf(key.native())) return curve->kind;
  if (EVP_PKEY_get_base_id(key.native()) != EVP_PKEY_RSA) return NoSuchKind();
  RETURN_IF_ERROR(CheckRsaBits(EVP_PKEY_get_bits(key.native())));
  return JwkKind::kRsa;
}

void JwkMembers::PutInto(nlohmann::ordered_json& object) const {
  object["kty"] = kty;
  if (!crv.empty()) object["crv"] = crv;
  object[crv.empty() ? "n" : "x"] = first;
  object[crv.empty() ? "e" : "y"] = second;
}

Result<JwkMembers> JwkMembersOf(const PublicKey& key) {
  JwkMembers members;
  if (EVP_PKEY_get_base_id(key.native()) == EVP_PKEY_RSA) {
    members.kty = "RSA";
    ASSIGN_OR_RETURN(members.first, Number(key.native(), OSSL_PKEY_PARAM_RSA_N, 0));
    ASSIGN_OR_RETURN(members.second, Number(key.native(), OSSL_PKEY_PARAM_RSA_E, 0));
    return members;
  }
  const Curve* curve = CurveOf(key.native());
  if (curve == nullptr) return NoSuchKind();
  members.kty = "EC";
  members.crv = std::string(curve->name);
  ASSIGN_OR_RETURN(members.first, Number(key.native(), OSSL_PKEY_PARAM_EC_PUB_X, curve->bytes));
  ASSIGN_OR_RETURN(members.second, Number(key.native(), OSSL_PKEY_PARAM_EC_PUB_Y, curve->bytes));
  return members;
}

Result<PublicKey> PublicKeyFromJwk(const nlohmann::json& jwk) {
  const std::string* kty = StringMember(jwk, "kty");
  if (kty == nullptr || (*kty != "EC" && *kty != "RSA")) return Wrong("\"kty\" is neither EC nor RSA");
  // RFC 7518 §6.2.2, §6.3.2: who publishes it has given the key away
  if (jwk.contains("d")) return Wrong("there is a private key in it");
  return *kty == "EC" ? ReadEc(jwk) : ReadRsa(jwk);
}

Result<std::string> JwkThumbprint(const JwkMembers& members) {
  // RFC 7638 §3.2: the members by name, without white space; none of these values needs an escape
  const std::string text = members.crv.empty() ? fmt::format(R"({{"e":"{}","kty":"{}","n":"{}"}})", members.second,
                                                             members.kty, members.first)
                                               : fmt::format(R"({{"crv":"{}","kty":"{}","x":"{}","y":"{}"}})",
                                                             members.crv, members.kty, members.first, members.second);
  unsigned char digest[EVP_MAX_MD_SIZE];
  std::size_t length = 0;
  if (EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), digest, &length) != 1) {
    return OpenSslError("compute SHA-256");
  }
  return Base64UrlEncode({reinterpret_cast<const char*>(digest), length});
}

}  // namespace lanyard
