// A trust domain's bundle: the authorities whose signatures count there, and nowhere else.
//
// Follows SPIFFE_Trust_Domain_and_Bundle
// (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Trust_Domain_and_Bundle.md) §4, X509-SVID §6, JWT-SVID
// §6 and WIT-SVID §6. A bundle without authorities is valid and means that nothing of that trust domain is to be
// believed (§4.1.3). An authority speaks for one kind of SVID: a key for JWT-SVIDs makes no WIT-SVID believable, and
// none a certificate.
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
#include "pki/jwt_authority.h"
#include "pki/spiffe_id.h"

namespace lanyard {

struct BundleOptions {
  std::optional<std::uint64_t> sequence_number;
  std::optional<std::chrono::seconds> refresh_hint;
};

struct TokenAuthorities {
  std::vector<JwtAuthority> jwt, wit;
};

class Bundle {
 public:
  // Authorities must be CA certificates. Repeated ones are dropped; the order of the first ones stays. Those of tokens
  // are put into the order of their key IDs; no two may have the same one (WIT-SVID §6.1), a repeated one is dropped.
  static Result<Bundle> Create(TrustDomain trust_domain, std::vector<Certificate> x509_authorities,
                               BundleOptions options = {}, TokenAuthorities tokens = {});

  // The JWK Set form. Entries of unknown use or key type and x509-svid entries without x5c are skipped, as the standard
  // demands; one that claims to hold a CA certificate or a key for tokens and does not is an error, and so is a
  // document without "keys".
  static Result<Bundle> ParseDocument(TrustDomain trust_domain, std::string_view json);
  // The same bundle always gives the same bytes. An X.509 authority whose key is neither RSA nor EC on P-256, P-384 or
  // P-521 is left out: readers skip entries of types that they do not know.
  std::string ToDocument() const;
  // JWK Sets of the keys for one kind of token alone, as FetchJWTBundles and FetchWITBundles hand them out. Without
  // "use": its values here are SPIFFE's, and libraries for JWTs skip keys whose use they do not know.
  const std::string& JwtKeySet() const;
  const std::string& WitKeySet() const;

  const TrustDomain& trust_domain() const;
  const std::vector<Certificate>& x509_authorities() const;
  const std::vector<JwtAuthority>& jwt_authorities() const;  // by key ID
  const std::vector<JwtAuthority>& wit_authorities() const;
  const JwtAuthority* FindJwtAuthority(std::string_view key_id) const;  // nullptr if there is none; the bundle's
  const JwtAuthority* FindWitAuthority(std::string_view key_id) const;
  std::optional<std::uint64_t> sequence_number() const;
  std::optional<std::chrono::seconds> refresh_hint() const;
  const std::string& X509Der() const;  // concatenated, as in the Workload API; empty without authorities
  std::string X509Pem() const;

  // Same trust domain and authorities of every kind in the same order; sequence number and hint do not count.
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
