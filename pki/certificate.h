// An X.509 certificate, read once.
//
// What a certificate says is taken out of it when it is made, so accessors neither fail nor allocate. A certificate
// whose extensions contradict each other, repeat or do not parse is refused. Nothing here says that anybody should
// trust it: pki/verifier.h does. Copies share one immutable object.
//
// Thread: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/key.h"

struct x509_st;  // X509

namespace lanyard {

// Bits of the key usage extension (RFC 5280 §4.2.1.3) that SPIFFE speaks of.
enum KeyUsageBits : std::uint32_t {
  kKeyUsageDigitalSignature = 0x80,
  kKeyUsageKeyEncipherment = 0x20,
  kKeyUsageKeyAgreement = 0x08,
  kKeyUsageKeyCertSign = 0x04,
  kKeyUsageCrlSign = 0x02,
};

struct ExtendedKeyUsage {
  bool server_auth = false;
  bool client_auth = false;
  std::vector<std::string> oids;  // all of them, dotted
};

// What a certificate says.
struct CertificateFields {
  std::vector<std::string> uri_sans;
  std::vector<std::string> dns_sans;
  bool san_critical = false;
  std::string serial_hex;  // lower case, two digits a byte, at least one byte
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  bool is_ca = false;
  std::optional<int> path_length;          // basic constraints' pathLenConstraint
  std::optional<std::uint32_t> key_usage;  // KeyUsageBits and others; nothing if the extension is absent
  bool key_usage_critical = false;
  std::optional<ExtendedKeyUsage> extended_key_usage;
  std::string subject_key_id;    // bytes; empty if absent
  std::string authority_key_id;  // bytes; empty if absent
  std::string subject_der;
  std::string issuer_der;
  std::string spki_der;
};

class Certificate {
 public:
  // Exactly one certificate and nothing after it; must be DER, not merely BER.
  static Result<Certificate> FromDer(std::string_view der);
  static Result<Certificate> FromPem(std::string_view pem);
  // At least one. The Workload API's form: certificates one after another without separator.
  static Result<std::vector<Certificate>> ListFromDer(std::string_view der);
  // At least one "CERTIFICATE" block; text between blocks and blocks of other kinds are skipped, a broken block is an
  // error.
  static Result<std::vector<Certificate>> ListFromPem(std::string_view pem);
  static Result<Certificate> FromNative(x509_st* borrowed);

  const std::string& der() const;
  std::string ToPem() const;

  const CertificateFields& fields() const;
  const std::vector<std::string>& uri_sans() const { return fields().uri_sans; }
  const std::vector<std::string>& dns_sans() const { return fields().dns_sans; }
  const std::string& serial_hex() const { return fields().serial_hex; }
  std::chrono::system_clock::time_point not_before() const { return fields().not_before; }
  std::chrono::system_clock::time_point not_after() const { return fields().not_after; }
  bool is_ca() const { return fields().is_ca; }
  bool HasKeyUsage(KeyUsageBits bit) const { return (fields().key_usage.value_or(0) & bit) != 0; }
  const std::string& subject_key_id() const { return fields().subject_key_id; }
  const std::string& authority_key_id() const { return fields().authority_key_id; }
  const std::string& subject_der() const { return fields().subject_der; }
  const std::string& issuer_der() const { return fields().issuer_der; }
  const std::string& spki_der() const { return fields().spki_der; }
  bool self_issued() const { return fields().subject_der == fields().issuer_der; }

  Result<PublicKey> public_key() const;
  // Whether `issuer`'s key made the signature. Says nothing about names, dates or rights.
  bool SignedBy(const Certificate& issuer) const;
  // Lives as long as any copy of this certificate. Callers must not change it.
  x509_st* native() const;

  // Same bytes.
  friend bool operator==(const Certificate& a, const Certificate& b) { return a.der() == b.der(); }

 private:
  friend class Issuer;  // knows the fields of what it has just written and need not read them back
  struct State;
  explicit Certificate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  static Certificate FromParts(std::string der, CertificateFields fields);

  std::shared_ptr<const State> state_;
};

}  // namespace lanyard
