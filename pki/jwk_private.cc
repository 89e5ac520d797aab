#include "pki/jwk_private.h"

#include <openssl/core_names.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "pki/base64.h"
#include "pki/jwk.h"
#include "pki/jws_algorithm.h"
#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

struct SecretNumber {
  const char* name;   // RFC 7518 §6.2.2.1, §6.3.2
  const char* param;  // of OpenSSL
};
constexpr SecretNumber kOfEc[] = {{"d", OSSL_PKEY_PARAM_PRIV_KEY}};
constexpr SecretNumber kOfRsa[] = {{"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
                                   {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
                                   {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};

// As base64url; `bytes` long, or as short as it can be if that is 0.
Result<SecretBytes> Number(const EVP_PKEY* key, const char* param, std::size_t bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, param, &raw) != 1) return OpenSslError("read private key");
  const BnPtr number(raw);
  SecretBytes out(bytes > 0 ? bytes : static_cast<std::size_t>(BN_num_bytes(number.get())));
  if (BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(out.mutable_data()), static_cast<int>(out.size())) <
      0) {
    return OpenSslError("read private key");
  }
  return Base64UrlEncodeSecret(out);
}

SecretBytes Join(const std::vector<SecretBytes>& parts) {
  std::size_t size = 0;
  for (const SecretBytes& part : parts) size += part.size();
  SecretBytes whole(size);
  char* at = whole.mutable_data();
  for (const SecretBytes& part : parts) at = std::copy(part.data(), part.data() + part.size(), at);
  return whole;
}

}  // namespace

Result<SecretBytes> PrivateKeyToJwk(const PrivateKey& key) {
  nlohmann::ordered_json object;
  ASSIGN_OR_RETURN(const JwkMembers members, JwkMembersOf(key.public_key()));
  members.PutInto(object);
  object["alg"] = JwsAlgorithmName(JwsAlgorithmFor(key.type()));
  std::string text = object.dump();
  text.pop_back();  // the brace at its end; the secret members follow

  const bool rsa = members.crv.empty();
  // RFC 7518 §6.2.2.1: "d" of an EC key is as long as the order, for these curves the same as a coordinate
  const std::size_t bytes = rsa ? 0 : static_cast<std::size_t>((EVP_PKEY_get_bits(key.native()) + 7) / 8);
  std::vector<SecretBytes> parts;
  parts.push_back(SecretBytes::CopyOf(text));
  const auto add = [&](const SecretNumber& number) -> Status {
    ASSIGN_OR_RETURN(SecretBytes value, Number(key.native(), number.param, bytes));
    parts.push_back(SecretBytes::CopyOf(fmt::format(",\"{}\":\"", number.name)));
    parts.push_back(std::move(value));
    parts.push_back(SecretBytes::CopyOf("\""));
    return OkStatus();
  };
  if (rsa) {
    for (const SecretNumber& number : kOfRsa) RETURN_IF_ERROR(add(number));
  } else {
    for (const SecretNumber& number : kOfEc) RETURN_IF_ERROR(add(number));
  }
  parts.push_back(SecretBytes::CopyOf("}"));
  return Join(parts);
}

}  // namespace lanyard
