// Key pairs of SVIDs and of the authorities that sign them.
//
// A PrivateKey is a handle on an immutable OpenSSL key: copies share it, and its memory is wiped when the last one
// goes. It cannot be printed; its bytes leave only as SecretBytes.
//
// Thread: any.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/p256.h"
#include "pki/secret_bytes.h"

struct evp_pkey_st;  // EVP_PKEY

namespace lanyard {

enum class KeyType { kEcP256, kEcP384, kRsa2048, kRsa4096 };

// "ec-p256", "ec-p384", "rsa-2048", "rsa-4096". Everything else is InvalidArgument; "ed25519" with the reason why it is
// refused.
Result<KeyType> ParseKeyType(std::string_view name);
std::string_view KeyTypeName(KeyType type);

class PublicKey {
 public:
  // The key of any kind that OpenSSL can read, from SubjectPublicKeyInfo (RFC 5280 §4.1).
  static Result<PublicKey> FromSpkiDer(std::string_view der);
  // The same from the first "PUBLIC KEY" block (RFC 7468 §13).
  static Result<PublicKey> FromPem(std::string_view pem);
  static PublicKey FromNative(evp_pkey_st* borrowed);

  // One of the four kinds that an SVID may have; otherwise InvalidArgument saying what the key is.
  Result<KeyType> type() const;
  Result<std::string> ToSpkiDer() const;
  Result<std::string> ToPem() const;  // "PUBLIC KEY"
  bool SameAs(const PublicKey& other) const;
  evp_pkey_st* native() const { return key_.get(); }

 private:
  friend class PrivateKey;
  friend class Certificate;
  explicit PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  std::shared_ptr<evp_pkey_st> key_;
};

class PrivateKey {
 public:
  // P-256 takes about 16 us: the generator context is kept per thread. RSA takes tens to hundreds of milliseconds.
  static Result<PrivateKey> Generate(KeyType type);
  // Exactly one unencrypted PKCS#8, SEC1 or PKCS#1 key. Never asks for a passphrase.
  static Result<PrivateKey> FromPem(std::string_view pem);
  static Result<PrivateKey> FromPkcs8Der(std::string_view der);

  Result<SecretBytes> ToPkcs8Der() const;  // unencrypted, RFC 5208, as the Workload API wants it
  Result<SecretBytes> ToPem() const;       // "PRIVATE KEY"
  PublicKey public_key() const;
  // The uncompressed public point of a P-256 key (SEC1 §2.3.3); null of every other, and of one that was read with a
  // compressed point. Kept, since OpenSSL takes 4 us to say it each time. Lives as long as the key.
  const p256::Point* point() const;
  KeyType type() const;
  evp_pkey_st* native() const;

 private:
  struct State;
  explicit PrivateKey(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  static Result<PrivateKey> Adopt(evp_pkey_st* owned);

  std::shared_ptr<const State> state_;
};

}  // namespace lanyard
