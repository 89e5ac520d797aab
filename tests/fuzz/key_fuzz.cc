// A key that is accepted is written and read back as the same key, is of a kind that we offer where it must be, and a
// private key's halves fit together: what it signs, its public key verifies.
//
// No private key is in the repository, so the corpus has public ones and lists of edits. An input is read as a public
// key as it is, and as edits to private keys that are made when the target starts, the same ones every time, so that a
// finding can be repeated: from the scalars 7 and 11, which everybody knows.
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>

#include <vector>

#include "pki/key.h"
#include "pki/openssl_ptr.h"
#include "pki/signature.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

// SEC 1 §3.2.1: the public point is the generator times the scalar.
std::string MakePkcs8(int curve, const char* name, unsigned scalar) {
  const Owned<EC_GROUP, EC_GROUP_free> group(EC_GROUP_new_by_curve_name(curve));
  const Owned<EC_POINT, EC_POINT_free> point(EC_POINT_new(group.get()));
  const BnPtr number(BN_new());
  Require(BN_set_word(number.get(), scalar) == 1);
  Require(EC_POINT_mul(group.get(), point.get(), number.get(), nullptr, nullptr, nullptr) == 1);
  unsigned char bytes[256];
  const size_t length =
      EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, bytes, sizeof(bytes), nullptr);
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, name, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, bytes, length);
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, number.get());
  const Owned<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* raw = nullptr;
  Require(EVP_PKEY_fromdata_init(context.get()) == 1);
  Require(EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_KEYPAIR, parameters.get()) == 1);
  const PkeyPtr key(raw);
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(key.get()));
  unsigned char* der = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &der);
  const OpenSslBytes owner(der);
  return {reinterpret_cast<const char*>(der), static_cast<size_t>(size)};
}

void CheckPublic(const PublicKey& key) {
  const auto der = key.ToSpkiDer(), pem = key.ToPem();
  Require(der.ok() && pem.ok());
  const auto from_der = PublicKey::FromSpkiDer(*der), from_pem = PublicKey::FromPem(*pem);
  Require(from_der.ok() && from_pem.ok() && from_der->SameAs(key) && from_pem->SameAs(key));
  const auto type = key.type();
  if (type.ok()) {
    const auto named = ParseKeyType(KeyTypeName(*type));
    Require(named.ok() && *named == *type);
  } else {
    RequireTold(type.status(), StatusCode::kInvalidArgument);
  }
}

void CheckPrivate(const Result<PrivateKey>& key) {
  if (!key.ok()) return RequireTold(key.status(), StatusCode::kInvalidArgument);
  CheckPublic(key->public_key());
  Require(key->public_key().type().ok() && *key->public_key().type() == key->type());
  const auto der = key->ToPkcs8Der();
  const auto pem = key->ToPem();
  Require(der.ok() && pem.ok());
  const auto from_der = PrivateKey::FromPkcs8Der(der->expose()), from_pem = PrivateKey::FromPem(pem->expose());
  Require(from_der.ok() && from_der->public_key().SameAs(key->public_key()));
  Require(from_pem.ok() && from_pem->public_key().SameAs(key->public_key()));
  if (key->type() != KeyType::kEcP256) return;
  const auto signature = SignEcdsaSha256(*key, "what was said");
  Require(signature.ok() && VerifyEcdsaSha256(key->public_key(), "what was said", *signature).ok());
}

// Which key, and then for each edit: where, what to do, and a byte to do it with.
std::string Edited(FuzzInput input) {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> made = {MakePkcs8(NID_X9_62_prime256v1, "P-256", 7),
                                     MakePkcs8(NID_secp384r1, "P-384", 11)};
    for (size_t i = 0; i < 2; ++i) {
      const auto pem = PrivateKey::FromPkcs8Der(made[i]).value().ToPem();
      made.emplace_back(pem->expose());
    }
    return made;
  }();
  std::string key = keys[static_cast<size_t>(input.Number(0, static_cast<int64_t>(keys.size()) - 1))];
  while (!input.empty()) {
    const auto at = static_cast<size_t>(input.Number(0, 65535)) % (key.size() + 1);
    const int64_t how = input.Number(0, 3);
    const auto byte = static_cast<char>(input.Number(-128, 127));
    if (how == 0 && at < key.size()) key[at] = byte;
    if (how == 1 && at < key.size()) key.erase(at, 1);
    if (how == 2) key.insert(at, 1, byte);
    if (how == 3) key.resize(at);
  }
  return key;
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const std::string_view bytes = AsText(data, size);
  for (const auto& key : {PublicKey::FromSpkiDer(bytes), PublicKey::FromPem(bytes)}) {
    if (key.ok()) {
      CheckPublic(*key);
    } else {
      RequireTold(key.status(), StatusCode::kInvalidArgument);
    }
  }
  if (const auto type = ParseKeyType(bytes); type.ok()) {
    Require(KeyTypeName(*type) == bytes);
  } else {
    RequireTold(type.status(), StatusCode::kInvalidArgument);
  }
  const std::string key = Edited(FuzzInput(data, size));
  CheckPrivate(PrivateKey::FromPkcs8Der(key));
  CheckPrivate(PrivateKey::FromPem(key));
  return 0;
}
