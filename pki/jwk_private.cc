#include "pki/jwk_private.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pki/base64.h"
#include "pki/jwk.h"
#include "pki/jws_algorithm.h"
#include "pki/openssl_ptr.h"
#include "pki/strict_json.h"
#include "pki/wrong.h"

namespace lanyard {
namespace {

constexpr JsonLimits kLimits{.bytes = 16384, .depth = 4};

struct SecretNumber {
  const char* name;   // RFC 7518 §6.2.2.1, §6.3.2
  const char* param;  // of OpenSSL
};
constexpr SecretNumber kOfEc[] = {{"d", OSSL_PKEY_PARAM_PRIV_KEY}};
constexpr SecretNumber kOfRsa[] = {{"d", OSSL_PKEY_PARAM_RSA_D},          {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
                                   {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},    {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
                                   {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2}, {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}};

std::span<const SecretNumber> SecretsOf(const JwkMembers& members) {
  if (members.crv.empty()) return kOfRsa;
  return kOfEc;
}

// RFC 7518 §6.2.2.1: "d" of an EC key is as long as the order, for these curves the same as a coordinate. A number of
// RSA is as short as it can be, which is said by 0.
std::size_t SecretLength(const JwkMembers& members, const EVP_PKEY* key) {
  return members.crv.empty() ? 0 : static_cast<std::size_t>((EVP_PKEY_get_bits(key) + 7) / 8);
}

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

// A JWK apart from its secret numbers: parsers of JSON leave copies of what they read behind.
struct CutJwk {
  std::string rest;                            // with an empty string in the place of each
  std::map<std::string, SecretBytes> secrets;  // by name, as base64url
};

// The string whose quote is at `at` (RFC 8259 §7), as it is written; nothing if it does not end.
std::optional<std::string_view> StringAt(std::string_view json, std::size_t at) {
  for (std::size_t end = at + 1; end < json.size(); ++end) {
    if (json[end] == '\\') {
      ++end;
    } else if (json[end] == '"') {
      return json.substr(at + 1, end - at - 1);
    }
  }
  return std::nullopt;
}

// Looks at strings only: what is no JSON, what is missing and what stands twice is seen by who reads the rest.
Result<CutJwk> CutSecrets(std::string_view json) {
  CutJwk cut;
  std::string name;
  bool is_value = false;
  for (std::size_t at = 0; at < json.size();) {
    if (json[at] != '"') {
      if (json[at] == ':' || json[at] == ',') is_value = json[at] == ':';
      cut.rest += json[at++];
      continue;
    }
    const std::optional<std::string_view> found = StringAt(json, at);
    if (!found) return Wrong("not JSON: a string does not end");
    at += found->size() + 2;
    const bool secret = is_value && std::any_of(std::begin(kOfRsa), std::end(kOfRsa),
                                                [&](const SecretNumber& number) { return name == number.name; });
    if (secret) {
      cut.secrets.insert_or_assign(name, SecretBytes::CopyOf(*found));
      cut.rest += "\"\"";
    } else {
      cut.rest.append("\"").append(*found).append("\"");
      name = is_value ? "" : *found;
    }
  }
  return cut;
}

Status AddSecret(const CutJwk& cut, const SecretNumber& number, std::size_t length, OSSL_PARAM_BLD* builder,
                 std::vector<BnPtr>& numbers) {
  const auto found = cut.secrets.find(number.name);
  if (found == cut.secrets.end()) return Wrong("\"{}\" is missing or not a string", number.name);
  Result<SecretBytes> bytes = Base64UrlDecodeSecret(found->second.expose());
  if (!bytes.ok()) return Wrong("\"{}\" is not base64url", number.name);
  if (bytes->empty() || (length != 0 && bytes->size() != length))
    return Wrong("\"{}\" has the wrong length", number.name);
  BnPtr value(BN_secure_new());  // which also makes OpenSSL wipe the parameter
  if (value == nullptr ||
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes->data()), static_cast<int>(bytes->size()), value.get()) ==
          nullptr ||
      OSSL_PARAM_BLD_push_BN(builder, number.param, value.get()) != 1) {
    return OpenSslError("read private key");
  }
  numbers.push_back(std::move(value));  // the builder borrows it
  return OkStatus();
}

// Both halves in one key of OpenSSL's.
Result<PkeyPtr> Combine(const PublicKey& public_key, OSSL_PARAM_BLD* secrets) {
  const ParamsPtr secret_half(OSSL_PARAM_BLD_to_param(secrets));
  OSSL_PARAM* params = nullptr;
  EVP_PKEY_todata(public_key.native(), EVP_PKEY_PUBLIC_KEY, &params);
  const ParamsPtr public_half(params);
  if (secret_half == nullptr || public_half == nullptr) return OpenSslError("read private key");
  const ParamsPtr both(OSSL_PARAM_merge(public_half.get(), secret_half.get()));  // borrows from the two
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, public_key.native(), nullptr));
  EVP_PKEY* key = nullptr;
  if (both == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, both.get()) != 1) {
    return OpenSslError("the numbers are no private key", StatusCode::kInvalidArgument);
  }
  return PkeyPtr(key);
}

Result<PrivateKey> ReadPrivateKey(std::string_view json) {
  if (json.size() > kLimits.bytes) return Wrong("{} bytes, at most {} are read", json.size(), kLimits.bytes);
  ASSIGN_OR_RETURN(const CutJwk cut, CutSecrets(json));
  ASSIGN_OR_RETURN(nlohmann::json jwk, ParseJsonObject(cut.rest, kLimits));
  for (const auto& [name, secret] : cut.secrets) jwk.erase(name);
  ASSIGN_OR_RETURN(const PublicKey public_key, PublicKeyFromJwk(jwk));
  ASSIGN_OR_RETURN(const JwkMembers members, JwkMembersOf(public_key));

  const ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr) return OpenSslError("read private key");
  std::vector<BnPtr> numbers;
  const std::size_t length = SecretLength(members, public_key.native());
  for (const SecretNumber& number : SecretsOf(members)) {
    RETURN_IF_ERROR(AddSecret(cut, number, length, builder.get(), numbers));
  }
  ASSIGN_OR_RETURN(const PkeyPtr key, Combine(public_key, builder.get()));
  // By way of PKCS#8, whose reader checks that the halves belong together
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(key.get()));
  const int size = info != nullptr ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr) : 0;
  if (size <= 0) return OpenSslError("the numbers are no private key", StatusCode::kInvalidArgument);
  SecretBytes der(static_cast<std::size_t>(size));
  auto* at = reinterpret_cast<unsigned char*>(der.mutable_data());
  i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at);
  return PrivateKey::FromPkcs8Der(der.expose());
}

}  // namespace

Result<SecretBytes> PrivateKeyToJwk(const PrivateKey& key) {
  nlohmann::ordered_json object;
  ASSIGN_OR_RETURN(const JwkMembers members, JwkMembersOf(key.public_key()));
  members.PutInto(object);
  object["alg"] = JwsAlgorithmName(JwsAlgorithmFor(key.type()));
  std::string text = object.dump();
  text.pop_back();  // the brace at its end; the secret members follow

  const std::size_t length = SecretLength(members, key.native());
  std::vector<SecretBytes> parts;
  parts.push_back(SecretBytes::CopyOf(text));
  for (const SecretNumber& number : SecretsOf(members)) {
    ASSIGN_OR_RETURN(SecretBytes value, Number(key.native(), number.param, length));
    parts.push_back(SecretBytes::CopyOf(fmt::format(",\"{}\":\"", number.name)));
    parts.push_back(std::move(value));
    parts.push_back(SecretBytes::CopyOf("\""));
  }
  parts.push_back(SecretBytes::CopyOf("}"));
  return Join(parts);
}

Result<PrivateKey> PrivateKeyFromJwk(std::string_view json) {
  Result<PrivateKey> key = ReadPrivateKey(json);
  if (!key.ok()) return Annotate(key.status(), "read private JWK");
  return key;
}

}  // namespace lanyard
