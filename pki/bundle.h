// A trust domain's bundle: the authorities whose signatures count there, and nowhere else.
//
// Follows SPIFFE_Trust_Domain_and_Bundle
// (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md) §4 and X509-SVID §6. A
// bundle without authorities is valid and means that nothing of that trust domain is to be believed (§4.1.3).
//
// Thread: any; immutable, copies share one object.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/certificate.h"
#include "pki/spiffe_id.h"

namespace lanyard {

struct BundleOptions {
  std::optional<std::uint64_t> sequence_number;
  std::optional<std::chrono::seconds> refresh_hint;
};

class Bundle {
 public:
  // Authorities must be CA certificates with an EC or RSA key. Repeated ones are dropped; the order of the first ones
  // stays.
  static Result<Bundle> Create(TrustDomain trust_domain, std::vector<Certificate> x509_authorities,
                               BundleOptions options = {});

  // The JWK Set form. Entries of unknown use or key type and x509-svid entries without x5c are skipped, as the standard
  // demands; one that claims to hold a CA certificate and does not is an error, and so is a document without "keys".
  static Result<Bundle> ParseDocument(TrustDomain trust_domain, std::string_view json);
  // The same bundle always gives the same bytes.
  std::string ToDocument() const;

  const TrustDomain& trust_domain() const;
  const std::vector<Certificate>& x509_authorities() const;
  std::optional<std::uint64_t> sequence_number() const;
  std::optional<std::chrono::seconds> refresh_hint() const;
  const std::string& X509Der() const;  // concatenated, as in the Workload API; empty without authorities
  std::string X509Pem() const;

  // Same trust domain and authorities in the same order; sequence number and hint do not count.
  bool SameAuthorities(const Bundle& other) const;

 private:
  struct State;
  explicit Bundle(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

// Bundles by trust domain: one's own and those of federated domains.
class BundleSet {
 public:
  BundleSet() = default;
  explicit BundleSet(std::vector<Bundle> bundles);  // a later bundle of the same trust domain replaces an earlier one

  const Bundle* Find(const TrustDomain& trust_domain) const;  // nullptr if there is none; lives as long as the set
  void Put(Bundle bundle);
  const std::map<TrustDomain, Bundle>& all() const { return bundles_; }

 private:
  std::map<TrustDomain, Bundle> bundles_;
};

}  // namespace lanyard
