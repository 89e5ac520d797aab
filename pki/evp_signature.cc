#include "pki/evp_signature.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// RFC 7518 §3.5: MGF1 with the same digest, and a salt as long as it.
bool SetPadding(EVP_PKEY_CTX* context, RsaPadding padding) {
  if (padding == RsaPadding::kNone) return true;
  if (padding == RsaPadding::kPkcs1) return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

Result<std::string> EvpSign(evp_pkey_st* key, EvpScheme scheme, std::string_view message, std::string_view attempted) {
  const MdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's
  std::size_t length = 0;
  if (context == nullptr ||
      EVP_DigestSignInit_ex(context.get(), &options, scheme.digest, nullptr, nullptr, key, nullptr) != 1 ||
      !SetPadding(options, scheme.padding) ||
      EVP_DigestSign(context.get(), nullptr, &length, Bytes(message), message.size()) != 1) {
    return OpenSslError(attempted);
  }
  std::string signature(length, '\0');  // the longest that it can be; the second call says how long it is
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, Bytes(message),
                     message.size()) != 1) {
    return OpenSslError(attempted);
  }
  signature.resize(length);
  return signature;
}

Status EvpVerify(evp_pkey_st* key, EvpScheme scheme, std::string_view message, std::string_view signature,
                 std::string_view attempted) {
  const MdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's
  if (context == nullptr ||
      EVP_DigestVerifyInit_ex(context.get(), &options, scheme.digest, nullptr, nullptr, key, nullptr) != 1 ||
      !SetPadding(options, scheme.padding)) {
    return OpenSslError(attempted);
  }
  const int valid = EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message), message.size());
  ERR_clear_error();  // a signature that is not DER, or not valid, leaves its reasons there
  if (valid == 1) return OkStatus();
  return Error(StatusCode::kUnauthenticated, "the signature is not valid");
}

}  // namespace lanyard
