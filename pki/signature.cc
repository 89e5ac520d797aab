#include "pki/signature.h"

#include "pki/evp_signature.h"

namespace lanyard {
namespace {

constexpr EvpScheme kSha256{.digest = "SHA256"};

Status CheckType(KeyType type) {
  if (type == KeyType::kEcP256) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "{} key; ECDSA signatures here are by P-256 keys", KeyTypeName(type));
}

}  // namespace

Result<std::string> SignEcdsaSha256(const PrivateKey& key, std::string_view message) {
  RETURN_IF_ERROR(Annotate(CheckType(key.type()), "sign"));
  return EvpSign(key.native(), kSha256, message, "sign");
}

Status VerifyEcdsaSha256(const PublicKey& key, std::string_view message, std::string_view signature) {
  ASSIGN_OR_RETURN(const KeyType type, key.type());
  RETURN_IF_ERROR(Annotate(CheckType(type), "check signature"));
  return EvpVerify(key.native(), kSha256, message, signature, "check signature");
}

}  // namespace lanyard
