#include "pki/jws_signature.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

using EcdsaSigPtr = Owned<ECDSA_SIG, ECDSA_SIG_free>;

enum class Scheme { kEcdsa, kPkcs1, kPss };

struct Parameters {
  Scheme scheme;
  const char* digest;
};

Parameters ParametersOf(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kRs256:
      return {Scheme::kPkcs1, "SHA256"};
    case JwsAlgorithm::kRs384:
      return {Scheme::kPkcs1, "SHA384"};
    case JwsAlgorithm::kRs512:
      return {Scheme::kPkcs1, "SHA512"};
    case JwsAlgorithm::kEs256:
      return {Scheme::kEcdsa, "SHA256"};
    case JwsAlgorithm::kEs384:
      return {Scheme::kEcdsa, "SHA384"};
    case JwsAlgorithm::kEs512:
      return {Scheme::kEcdsa, "SHA512"};
    case JwsAlgorithm::kPs256:
      return {Scheme::kPss, "SHA256"};
    case JwsAlgorithm::kPs384:
      return {Scheme::kPss, "SHA384"};
    case JwsAlgorithm::kPs512:
      return {Scheme::kPss, "SHA512"};
  }
  return {};  // the compiler knows that all are named
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// RFC 7518 §3.5: MGF1 with the same digest, and a salt as long as it.
bool SetPadding(EVP_PKEY_CTX* context, Scheme scheme) {
  if (scheme == Scheme::kEcdsa) return true;
  if (scheme == Scheme::kPkcs1) return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

// RFC 7518 §3.4: R and S with the full length of the curve's order. RFC 7518 §3.3, §3.5: as long as the modulus.
std::size_t SignatureBytes(Scheme scheme, const EVP_PKEY* key) {
  const auto number = static_cast<std::size_t>((EVP_PKEY_get_bits(key) + 7) / 8);
  return scheme == Scheme::kEcdsa ? 2 * number : number;
}

Result<std::string> ToRaw(std::string_view der, std::size_t bytes) {
  const unsigned char* at = Bytes(der);
  const EcdsaSigPtr pair(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  std::string raw(bytes, '\0');
  const auto half = static_cast<int>(bytes / 2);
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  if (pair == nullptr || BN_bn2binpad(ECDSA_SIG_get0_r(pair.get()), out, half) != half ||
      BN_bn2binpad(ECDSA_SIG_get0_s(pair.get()), out + half, half) != half) {
    return OpenSslError("write ECDSA signature");
  }
  return raw;
}

Result<std::string> ToDer(std::string_view raw) {
  const std::size_t half = raw.size() / 2;
  const auto number = [](std::string_view bytes) {
    return BnPtr(BN_bin2bn(Bytes(bytes), static_cast<int>(bytes.size()), nullptr));
  };
  BnPtr r = number(raw.substr(0, half)), s = number(raw.substr(half));
  const EcdsaSigPtr pair(ECDSA_SIG_new());
  if (r == nullptr || s == nullptr || pair == nullptr || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) {
    return OpenSslError("read ECDSA signature");
  }
  IGNORE_ERROR(r.release(), "the pair owns both now");
  IGNORE_ERROR(s.release(), "the pair owns both now");
  unsigned char* der = nullptr;
  const int length = i2d_ECDSA_SIG(pair.get(), &der);
  if (length <= 0) return OpenSslError("read ECDSA signature");
  const OpenSslBytes owner(der);
  return std::string(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length));
}

}  // namespace

Result<std::string> SignJws(JwsAlgorithm algorithm, const PrivateKey& key, std::string_view input) {
  RETURN_IF_ERROR(Annotate(CheckKeyFits(algorithm, key.public_key()), "sign a token"));
  const auto [scheme, digest] = ParametersOf(algorithm);
  const MdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's
  std::size_t length = 0;
  if (context == nullptr ||
      EVP_DigestSignInit_ex(context.get(), &options, digest, nullptr, nullptr, key.native(), nullptr) != 1 ||
      !SetPadding(options, scheme) ||
      EVP_DigestSign(context.get(), nullptr, &length, Bytes(input), input.size()) != 1) {
    return OpenSslError("sign a token");
  }
  std::string signature(length, '\0');  // the longest that it can be; the second call says how long it is
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, Bytes(input),
                     input.size()) != 1) {
    return OpenSslError("sign a token");
  }
  signature.resize(length);
  if (scheme != Scheme::kEcdsa) return signature;
  return ToRaw(signature, SignatureBytes(scheme, key.native()));
}

Status VerifyJws(JwsAlgorithm algorithm, const PublicKey& key, std::string_view input, std::string_view signature) {
  RETURN_IF_ERROR(Annotate(CheckKeyFits(algorithm, key), "check the signature of a token"));
  const auto [scheme, digest] = ParametersOf(algorithm);
  if (signature.size() != SignatureBytes(scheme, key.native())) {
    return Error(StatusCode::kUnauthenticated, "the signature has {} bytes, {} signatures by this key have {}",
                 signature.size(), JwsAlgorithmName(algorithm), SignatureBytes(scheme, key.native()));
  }
  std::string der;
  if (scheme == Scheme::kEcdsa) {
    ASSIGN_OR_RETURN(der, ToDer(signature));
    signature = der;
  }
  const MdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's
  if (context == nullptr ||
      EVP_DigestVerifyInit_ex(context.get(), &options, digest, nullptr, nullptr, key.native(), nullptr) != 1 ||
      !SetPadding(options, scheme)) {
    return OpenSslError("check the signature of a token");
  }
  const int valid = EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(input), input.size());
  ERR_clear_error();  // what makes a signature invalid is told there, too
  if (valid == 1) return OkStatus();
  return Error(StatusCode::kUnauthenticated, "the signature is not valid");
}

}  // namespace lanyard
