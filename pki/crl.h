// A certificate revocation list (RFC 5280 §5): which certificates of one CA no longer count, although they have not
// expired.
//
// Verifiers fail closed on anything that is amiss with a list: one whose time is not yet there or is over, or one that
// lacks for any CA of a chain, makes them refuse everybody. So what is read here is read strictly, and what is signed
// here is checked before it leaves. Lists that say only a part (deltas, lists for some kind of certificates, indirect
// ones) are refused when read: nobody could tell what they leave out.
//
// Nothing here says that anybody should believe a list: CheckSignedBy() does. Copies share one immutable object.
//
// Thread: any.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/key.h"

namespace lanyard {

// A larger list is not read: gRPC's clients do not take larger messages either.
inline constexpr std::size_t kMaxCrlBytes = std::size_t{4} * 1024 * 1024;
inline constexpr std::size_t kMaxSerialBytes = 20;  // RFC 5280 §4.1.2.2

// One certificate that was revoked before its time.
struct RevokedCertificate {
  std::string serial_hex;  // as Certificate::serial_hex()
  std::chrono::system_clock::time_point revoked_at;
  std::chrono::system_clock::time_point not_after;  // of the certificate
};

// What a list is to say. Fractions of a second are cut off.
struct CrlContent {
  std::uint64_t number = 0;  // RFC 5280 §5.2.3: of one CA, no two lists have the same, and later ones have higher ones
  std::chrono::system_clock::time_point this_update, next_update;
  std::vector<RevokedCertificate> revoked;  // in any order
};

// What a list says.
struct CrlFields {
  struct Entry {
    std::string serial_hex;
    std::chrono::system_clock::time_point revoked_at;

    bool operator==(const Entry&) const = default;
  };

  std::string issuer_der;
  std::string authority_key_id;           // bytes; empty if absent
  std::optional<std::string> number_hex;  // as IntegerHex: two digits a byte
  std::chrono::system_clock::time_point this_update;
  std::chrono::system_clock::time_point next_update;
  std::vector<Entry> entries;  // in the order of the list

  bool operator==(const CrlFields&) const = default;
};

// FailedPrecondition when the certificate says what its key is for and lists are not among it.
Status CheckMaySignCrls(const Certificate& issuer);

class Crl {
 public:
  // Exactly one list and nothing after it, with a nextUpdate, complete and direct. In DER, not merely BER, but for the
  // signed part, whose bytes stay as they are.
  static Result<Crl> FromDer(std::string_view der);
  // At least one "X509 CRL" block; text between blocks and blocks of other kinds are skipped, a broken block is an
  // error.
  static Result<std::vector<Crl>> ListFromPem(std::string_view pem);

  // A version 2 list of the certificates in `content` that have not expired by its thisUpdate, ascending by serial
  // number, each once. Equal contents give equal bytes, but for the signature. InvalidArgument when dates or serial
  // numbers make no sense; FailedPrecondition when `issuer` may not sign lists. `key` is the issuer's.
  static Result<Crl> Sign(const CrlContent& content, const Certificate& issuer, const PrivateKey& key);

  const std::string& der() const;
  std::string ToPem() const;

  const CrlFields& fields() const;
  std::chrono::system_clock::time_point this_update() const { return fields().this_update; }
  std::chrono::system_clock::time_point next_update() const { return fields().next_update; }

  // OK when `issuer` is who this list names and has signed it, and may sign lists. Says nothing about dates.
  Status CheckSignedBy(const Certificate& issuer) const;

  // Same bytes.
  friend bool operator==(const Crl& a, const Crl& b) { return a.der() == b.der(); }

 private:
  struct State;
  explicit Crl(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

}  // namespace lanyard
