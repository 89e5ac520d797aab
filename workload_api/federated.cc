#include "workload_api/federated.h"

#include <algorithm>

namespace lanyard {

std::vector<TrustDomain> FederatedTrustDomains(std::span<const EntryPtr> entries) {
  std::vector<TrustDomain> all;
  for (const EntryPtr& entry : entries)
    all.insert(all.end(), entry->federates_with.begin(), entry->federates_with.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Federated FederatedOf(std::span<const EntryPtr> entries, const ForeignBundles& foreign, SvidKind kind) {
  Federated federated;
  for (const TrustDomain& trust_domain : FederatedTrustDomains(entries)) {
    const uint64_t version = foreign.Version(trust_domain, kind);
    if (version == 0) continue;
    federated.bundles.push_back(*foreign.bundles()->Find(trust_domain));
    federated.versions.push_back(version);
  }
  return federated;
}

}  // namespace lanyard
