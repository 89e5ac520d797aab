// Writes any kind of certificate with OpenSSL's X509 calls: roots, and leaves that the template cannot write.
//
// Thread: any; one builder belongs to one thread. Private to this room.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "pki/openssl_ptr.h"

namespace lanyard {

enum class Criticality { kNormal, kCritical };

// What a CA with such a key hashes with before it signs.
const EVP_MD* DigestFor(KeyType issuer);

class CertificateBuilder {
 public:
  // Version 3, random serial, the given key.
  static Result<CertificateBuilder> Start(const PublicKey& key, std::chrono::system_clock::time_point not_before,
                                          std::chrono::system_clock::time_point not_after);

  // Subject with an organization, and a common name unless that is empty.
  Status SetSubject(std::string_view organization, std::string_view common_name);
  Status SetIssuerDer(std::string_view name_der);
  Status SelfIssued();

  Status AddBasicConstraints(bool is_ca);
  Status AddKeyUsage(std::uint32_t bits);
  Status AddExtendedKeyUsageForTls();
  Status AddKeyIds(std::string_view authority_key_id);  // and the subject's; an empty authority's is left out
  Status AddNames(std::string_view uri, const std::vector<std::string>& dns_names);

  Result<Certificate> Sign(const PrivateKey& issuer_key);

 private:
  explicit CertificateBuilder(X509Ptr x509) : x509_(std::move(x509)) {}
  Status Add(int nid, void* value, Criticality criticality);

  X509Ptr x509_;
};

}  // namespace lanyard
