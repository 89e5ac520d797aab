#include "pki/key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <limits>
#include <optional>

#include "pki/openssl_ptr.h"
#include "pki/p256.h"

namespace lanyard {
namespace {

constexpr std::string_view kEd25519Reason =
    "ed25519 is not offered for SVIDs: Envoy and other BoringSSL peers do not accept such certificates by default, so "
    "their "
    "handshakes would fail; use ec-p256";

Result<KeyType> TypeOf(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC: {
      char group[64] = "";
      std::size_t length = 0;
      if (EVP_PKEY_get_group_name(key, group, sizeof group, &length) != 1) {
        return OpenSslError("read curve of EC key", StatusCode::kInvalidArgument);
      }
      const std::string_view name(group);
      if (name == "prime256v1" || name == "P-256") return KeyType::kEcP256;
      if (name == "secp384r1" || name == "P-384") return KeyType::kEcP384;
      return Error(StatusCode::kInvalidArgument, "EC key on curve {}; use P-256 or P-384", name);
    }
    case EVP_PKEY_RSA: {
      const int bits = EVP_PKEY_get_bits(key);
      if (bits == 2048) return KeyType::kRsa2048;
      if (bits == 4096) return KeyType::kRsa4096;
      return Error(StatusCode::kInvalidArgument, "RSA key of {} bits; use 2048 or 4096", bits);
    }
    case EVP_PKEY_ED25519:
      return Error(StatusCode::kInvalidArgument, "{}", kEd25519Reason);
    default: {
      const char* name = EVP_PKEY_get0_type_name(key);
      return Error(StatusCode::kInvalidArgument, "key of type {}; use EC P-256 or P-384, or RSA",
                   name != nullptr ? name : "unknown");
    }
  }
}

std::shared_ptr<EVP_PKEY> Share(PkeyPtr key) {
  return std::shared_ptr<EVP_PKEY>(std::move(key));
}

// A generator context is costly to set up and may be used again, but not by two threads at once: hence one a thread.
Result<PkeyPtr> GenerateP256() {
  thread_local PkeyCtxPtr context;
  if (context == nullptr) {
    PkeyCtxPtr fresh(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    if (fresh == nullptr || EVP_PKEY_keygen_init(fresh.get()) != 1 ||
        EVP_PKEY_CTX_set_group_name(fresh.get(), "P-256") != 1) {
      return OpenSslError("prepare P-256 key generation");
    }
    context = std::move(fresh);
  }
  EVP_PKEY* raw = nullptr;
  if (EVP_PKEY_generate(context.get(), &raw) != 1) {
    context.reset();
    return OpenSslError("generate P-256 key");
  }
  return PkeyPtr(raw);
}

int NoPassphrase(char*, int, int, void*) {
  return -1;
}

}  // namespace

Result<KeyType> ParseKeyType(std::string_view name) {
  for (const KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    if (name == KeyTypeName(type)) return type;
  }
  if (name == "ed25519") return Error(StatusCode::kInvalidArgument, "{}", kEd25519Reason);
  return Error(StatusCode::kInvalidArgument, "unknown key type \"{}\"; use ec-p256, ec-p384, rsa-2048 or rsa-4096",
               name);
}

std::string_view KeyTypeName(KeyType type) {
  switch (type) {
    case KeyType::kEcP256:
      return "ec-p256";
    case KeyType::kEcP384:
      return "ec-p384";
    case KeyType::kRsa2048:
      return "rsa-2048";
    case KeyType::kRsa4096:
      return "rsa-4096";
  }
  return "unknown";
}

Result<PublicKey> PublicKey::FromSpkiDer(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* end = at + der.size();
  PkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) return OpenSslError("read public key", StatusCode::kInvalidArgument);
  if (at != end) return Error(StatusCode::kInvalidArgument, "read public key: {} bytes follow it", end - at);
  return PublicKey(Share(std::move(key)));
}

PublicKey PublicKey::FromNative(EVP_PKEY* borrowed) {
  EVP_PKEY_up_ref(borrowed);
  return PublicKey(Share(PkeyPtr(borrowed)));
}

Result<KeyType> PublicKey::type() const {
  return TypeOf(key_.get());
}

Result<std::string> PublicKey::ToSpkiDer() const {
  unsigned char* raw = nullptr;
  const int length = i2d_PUBKEY(key_.get(), &raw);
  if (length <= 0) return OpenSslError("write public key");
  const OpenSslBytes bytes(raw);
  return std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length));
}

Result<PublicKey> PublicKey::FromPem(std::string_view pem) {
  if (pem.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return Error(StatusCode::kInvalidArgument, "read public key: {} bytes are too many", pem.size());
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));  // borrows
  if (bio == nullptr) return OpenSslError("read public key");
  PkeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return OpenSslError("read public key", StatusCode::kInvalidArgument);
  return PublicKey(Share(std::move(key)));
}

Result<std::string> PublicKey::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_PUBKEY(bio.get(), key_.get()) != 1) {
    return OpenSslError("write public key as PEM");
  }
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(length));
}

bool PublicKey::SameAs(const PublicKey& other) const {
  const bool same = EVP_PKEY_eq(key_.get(), other.key_.get()) == 1;
  ERR_clear_error();
  return same;
}

struct PrivateKey::State {
  State(PkeyPtr owned, KeyType its_type) : key(std::move(owned)), type(its_type) {
    if (type != KeyType::kEcP256) return;
    // Only a key that was read with a compressed point fails; OpenSSL's encoder writes that, too
    if (Result<p256::Point> read = p256::PointOf(key.get()); read.ok()) point = *read;
  }

  const PkeyPtr key;
  const KeyType type;
  std::optional<p256::Point> point;
};

Result<PrivateKey> PrivateKey::Generate(KeyType type) {
  PkeyPtr key;
  switch (type) {
    case KeyType::kEcP256: {
      ASSIGN_OR_RETURN(key, GenerateP256());
      break;
    }
    case KeyType::kEcP384:
      key.reset(EVP_EC_gen("P-384"));
      break;
    case KeyType::kRsa2048:
      key.reset(EVP_RSA_gen(2048));
      break;
    case KeyType::kRsa4096:
      key.reset(EVP_RSA_gen(4096));
      break;
  }
  if (key == nullptr) return OpenSslError(fmt::format("generate {} key", KeyTypeName(type)));
  return PrivateKey(std::make_shared<const State>(std::move(key), type));
}

Result<PrivateKey> PrivateKey::Adopt(evp_pkey_st* owned) {
  PkeyPtr key(owned);
  ASSIGN_OR_RETURN(const KeyType type, TypeOf(key.get()));
  // A key from outside: its private half must be that of its public half, or every signature would be worthless
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_pairwise_check(context.get()) != 1) {
    return OpenSslError("private key does not fit its public key", StatusCode::kInvalidArgument);
  }
  return PrivateKey(std::make_shared<const State>(std::move(key), type));
}

Result<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  constexpr std::string_view kLabelEnd = "PRIVATE KEY-----";
  std::size_t blocks = 0;
  for (std::size_t at = pem.find("-----BEGIN "); at != std::string_view::npos; at = pem.find("-----BEGIN ", at + 1)) {
    const std::string_view line = pem.substr(at, pem.substr(at).find_first_of("\r\n"));
    const std::size_t label = line.find(kLabelEnd);
    if (label == std::string_view::npos) continue;
    if (line.find("ENCRYPTED") < label) {
      return Error(StatusCode::kInvalidArgument,
                   "read private key: it is encrypted; store it decrypted, readable by this user only");
    }
    ++blocks;
  }
  if (blocks != 1)
    return Error(StatusCode::kInvalidArgument, "read private key: found {} PEM keys, expected exactly 1", blocks);
  if (pem.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return Error(StatusCode::kInvalidArgument, "read private key: {} bytes are too many", pem.size());
  }
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));  // borrows
  if (bio == nullptr) return OpenSslError("read private key");
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr);
  if (key == nullptr) return OpenSslError("read private key", StatusCode::kInvalidArgument);
  return Adopt(key);
}

Result<PrivateKey> PrivateKey::FromPkcs8Der(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* end = at + der.size();
  const Pkcs8Ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (info == nullptr) return OpenSslError("read PKCS#8 private key", StatusCode::kInvalidArgument);
  if (at != end) return Error(StatusCode::kInvalidArgument, "read PKCS#8 private key: {} bytes follow it", end - at);
  EVP_PKEY* key = EVP_PKCS82PKEY(info.get());
  if (key == nullptr) return OpenSslError("read PKCS#8 private key", StatusCode::kInvalidArgument);
  return Adopt(key);
}

PublicKey PrivateKey::public_key() const {
  return PublicKey(std::shared_ptr<EVP_PKEY>(state_, state_->key.get()));
}
const p256::Point* PrivateKey::point() const {
  return state_->point ? &*state_->point : nullptr;
}
KeyType PrivateKey::type() const {
  return state_->type;
}
evp_pkey_st* PrivateKey::native() const {
  return state_->key.get();
}

Result<SecretBytes> PrivateKey::ToPkcs8Der() const {
  if (point() != nullptr) return p256::ToPkcs8Der(native(), *point());
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(native()));
  if (info == nullptr) return OpenSslError("write PKCS#8 private key");
  const int length = i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
  if (length <= 0) return OpenSslError("write PKCS#8 private key");
  SecretBytes der(static_cast<std::size_t>(length));
  auto* at = reinterpret_cast<unsigned char*>(der.mutable_data());
  if (i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at) != length) return OpenSslError("write PKCS#8 private key");
  return der;
}

Result<SecretBytes> PrivateKey::ToPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));  // wipes its memory when it grows and when it is freed
  if (bio == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), native(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("write private key as PEM");
  }
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return SecretBytes::CopyOf({text, static_cast<std::size_t>(length)});
}

}  // namespace lanyard
