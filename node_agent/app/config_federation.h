// The section `federation` of the configuration: whose identities are believed besides our own, and by which bundle.
//
// Thread: any.
#pragma once

#include <vector>

#include "node_agent/base/yaml.h"
#include "node_agent/identity/foreign_bundles.h"

namespace lanyard {

struct FederationConfig {
  std::vector<ForeignBundleFile> trust_domains;  // by name; none is our own

  bool operator==(const FederationConfig&) const = default;
};

// Adds errors with their positions; what has none is read all the same.
FederationConfig ReadFederation(const YamlNode& node, const TrustDomain& own, YamlErrors& errors);

}  // namespace lanyard
