// Which foreign bundles a caller is shown: those of the trust domains that its entries federate with, as far as there
// are any, and nobody else's.
//
// A trust domain of which no authority is known, or which says itself that it has none, is left out: to a client the
// absence of a bundle means that nobody of that trust domain is to be believed (SPIFFE_Workload_API §4.4 and §4.6),
// while an empty bundle makes some clients refuse the whole answer, and a partner could so take our own identities
// away.
//
// Thread: loop.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "node_agent/identity/foreign_bundles.h"
#include "node_agent/registry/entry.h"

namespace lanyard {

// In their order, each once.
std::vector<TrustDomain> FederatedTrustDomains(std::span<const EntryPtr> entries);

struct Federated {
  std::vector<Bundle> bundles;     // each with an authority for the kind asked for; in the order of the trust domains
  std::vector<uint64_t> versions;  // equal ones, equal authorities of that kind
};
Federated FederatedOf(std::span<const EntryPtr> entries, const ForeignBundles& foreign, SvidKind kind);

}  // namespace lanyard
