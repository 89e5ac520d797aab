#include "pki/signature.h"

#include <openssl/err.h>

#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Status CheckType(KeyType type) {
  if (type == KeyType::kEcP256) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "{} key; ECDSA signatures here are by P-256 keys", KeyTypeName(type));
}

}  // namespace

Result<std::string> SignEcdsaSha256(const PrivateKey& key, std::string_view message) {
  RETURN_IF_ERROR(Annotate(CheckType(key.type()), "sign"));
  const MdCtxPtr context(EVP_MD_CTX_new());
  std::size_t length = 0;
  if (context == nullptr ||
      EVP_DigestSignInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, key.native(), nullptr) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &length, Bytes(message), message.size()) != 1) {
    return OpenSslError("sign");
  }
  std::string signature(length, '\0');  // the longest that it can be; the second call says how long it is
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, Bytes(message),
                     message.size()) != 1) {
    return OpenSslError("sign");
  }
  signature.resize(length);
  return signature;
}

Status VerifyEcdsaSha256(const PublicKey& key, std::string_view message, std::string_view signature) {
  ASSIGN_OR_RETURN(const KeyType type, key.type());
  RETURN_IF_ERROR(Annotate(CheckType(type), "check signature"));
  const MdCtxPtr context(EVP_MD_CTX_new());
  if (context == nullptr ||
      EVP_DigestVerifyInit_ex(context.get(), nullptr, "SHA256", nullptr, nullptr, key.native(), nullptr) != 1) {
    return OpenSslError("check signature");
  }
  const int valid = EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(message), message.size());
  ERR_clear_error();  // a signature that is not DER leaves its reasons there
  if (valid == 1) return OkStatus();
  return Error(StatusCode::kUnauthenticated, "the signature is not valid");
}

}  // namespace lanyard
