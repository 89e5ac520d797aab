// What a verifier knows about revocation: the lists of now, and of whom it has ever had one.
//
// Whoever never sends lists is not checked. From the first list of a trust domain on, each leaf of that trust domain
// needs a current list of its issuer, and so does each certificate above whose issuer has ever had one: a list that
// stays away or runs out refuses, it does not let in (RFC 5280 §6.3.3). What has been seen is handed on from each state
// to the next.
//
// A CA above the leaf's issuer that never had a list is not waited for: an agent that was given an intermediate signs
// that one's list, and may have none of the root's.
//
// Thread: any; immutable, copies share the lists.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/certificate.h"
#include "pki/crl.h"
#include "pki/spiffe_id.h"
#include "pki/x509_svid.h"

namespace lanyard {

class RevocationLists {
 public:
  RevocationLists() = default;  // has never seen any: nothing is checked

  // The state after this one, when `lists` are those of now. A list belongs to the trust domain whose bundle has its
  // issuer, or among whose SVIDs in `own` one has it in its chain.
  RevocationLists Next(std::vector<Crl> lists, const BundleSet& bundles, std::span<const X509Svid> own) const;

  // Whether SVIDs of this trust domain are checked, because there has been a list of one of its CAs.
  bool Covers(const TrustDomain& trust_domain) const { return covered_.contains(trust_domain); }

  // OK when nothing on the path is revoked. `path` is the leaf first, then each certificate's issuer up to the anchor.
  // Unauthenticated says which certificate is revoked, or which CA's list is missing, not yet valid or over.
  Status Check(const TrustDomain& trust_domain, std::span<const Certificate* const> path,
               std::chrono::system_clock::time_point now) const;

 private:
  struct List;
  using Issuer = std::pair<std::string, std::string>;  // subject and key identifier; either side may lack the latter

  bool HadListOf(const Certificate& ca) const;
  Status CheckOne(const Certificate& certificate, const Certificate& issuer,
                  std::chrono::system_clock::time_point now) const;

  std::multimap<std::string, std::shared_ptr<const List>> lists_;  // by the issuer's subject
  std::set<Issuer> seen_;
  std::set<TrustDomain> covered_;
};

}  // namespace lanyard
