#include "pki/jws_signature.h"

#include <openssl/ec.h>

#include "pki/evp_signature.h"
#include "pki/openssl_ptr.h"

namespace lanyard {
namespace {

using EcdsaSigPtr = Owned<ECDSA_SIG, ECDSA_SIG_free>;

EvpScheme SchemeOf(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kRs256:
      return {"SHA256", RsaPadding::kPkcs1};
    case JwsAlgorithm::kRs384:
      return {"SHA384", RsaPadding::kPkcs1};
    case JwsAlgorithm::kRs512:
      return {"SHA512", RsaPadding::kPkcs1};
    case JwsAlgorithm::kEs256:
      return {"SHA256", RsaPadding::kNone};
    case JwsAlgorithm::kEs384:
      return {"SHA384", RsaPadding::kNone};
    case JwsAlgorithm::kEs512:
      return {"SHA512", RsaPadding::kNone};
    case JwsAlgorithm::kPs256:
      return {"SHA256", RsaPadding::kPss};
    case JwsAlgorithm::kPs384:
      return {"SHA384", RsaPadding::kPss};
    case JwsAlgorithm::kPs512:
      return {"SHA512", RsaPadding::kPss};
  }
  return {};  // the compiler knows that all are named
}

bool IsEcdsa(EvpScheme scheme) {
  return scheme.padding == RsaPadding::kNone;
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// RFC 7518 §3.4: R and S with the full length of the curve's order. RFC 7518 §3.3, §3.5: as long as the modulus.
std::size_t SignatureBytes(const EVP_PKEY* key, EvpScheme scheme) {
  const auto number = static_cast<std::size_t>((EVP_PKEY_get_bits(key) + 7) / 8);
  return IsEcdsa(scheme) ? 2 * number : number;
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

Result<JwsSigner> JwsSigner::For(PrivateKey key) {
  if (key.type() != KeyType::kEcP256) return JwsSigner(std::move(key), nullptr);
  ASSIGN_OR_RETURN(std::shared_ptr<P256Signer> p256, P256Signer::For(key));
  return JwsSigner(std::move(key), std::move(p256));
}

Result<std::string> JwsSigner::Sign(std::string_view input) const {
  const EvpScheme scheme = SchemeOf(algorithm());
  auto signature = p256_ ? p256_->Sign(input) : EvpSign(key_.native(), scheme, input, "sign");
  if (!signature.ok()) return Annotate(signature.status(), "sign a token");
  if (!IsEcdsa(scheme)) return signature;
  return ToRaw(*signature, SignatureBytes(key_.native(), scheme));
}

Status VerifyJws(JwsAlgorithm algorithm, const PublicKey& key, std::string_view input, std::string_view signature) {
  RETURN_IF_ERROR(Annotate(CheckKeyFits(algorithm, key), "check the signature of a token"));
  const EvpScheme scheme = SchemeOf(algorithm);
  const std::size_t bytes = SignatureBytes(key.native(), scheme);
  if (signature.size() != bytes) {
    return Error(StatusCode::kUnauthenticated, "the signature has {} bytes, {} signatures by this key have {}",
                 signature.size(), JwsAlgorithmName(algorithm), bytes);
  }
  if (!IsEcdsa(scheme)) return EvpVerify(key.native(), scheme, input, signature, "check the signature of a token");
  ASSIGN_OR_RETURN(const std::string der, ToDer(signature));
  return EvpVerify(key.native(), scheme, input, der, "check the signature of a token");
}

}  // namespace lanyard
