// The bundles in an answer of the Workload API, whatever they are written as.
//
// Thread: any.
#pragma once

#include <utility>

#include "node_agent/base/printable.h"
#include "node_agent/base/status.h"
#include "pki/bundle.h"

namespace lanyard {

// `bundles` maps SPIFFE IDs of trust domains to bytes of which `read(trust_domain, bytes)` makes a Result<Bundle>.
// InvalidArgument says which one is wrong.
template <class Map, class Read>
Result<BundleSet> ReadBundles(const Map& bundles, Read read) {
  BundleSet set;
  for (const auto& [id, bytes] : bundles) {
    const Result<TrustDomain> trust_domain = TrustDomain::Parse(id);
    if (!trust_domain.ok()) return Annotate(trust_domain.status(), "bundle of \"{}\"", Printable(id));
    Result<Bundle> bundle = read(*trust_domain, bytes);
    if (!bundle.ok()) return Annotate(bundle.status(), "bundle of {}", trust_domain->id());
    set.Put(*std::move(bundle));
  }
  return set;
}

// The same for an answer that has nothing else: there is at least one, that of the agent's own trust domain.
template <class Map, class Read>
Result<BundleSet> ReadBundleAnswer(const Map& bundles, Read read) {
  if (bundles.empty()) return Error(StatusCode::kInvalidArgument, "the agent's answer has no bundle in it");
  Result<BundleSet> set = ReadBundles(bundles, read);
  return set.ok() ? std::move(set) : Annotate(set.status(), "the agent's answer");
}

}  // namespace lanyard
