// Do the registry and the configuration agree on federation?
//
// Thread: any.
#pragma once

#include <string>
#include <vector>

#include "node_agent/identity/foreign_bundles.h"
#include "node_agent/registry/registry.h"

namespace lanyard {

// One line for each entry that federates with trust domains of which no bundle is configured: it is served all the
// same, and its workloads believe nobody of those.
std::vector<std::string> UnknownFederation(const Registry& registry, const std::vector<ForeignBundleFile>& files);

// One line for each bundle that cannot be used now; the agent starts without it. Blocks on the disk.
std::vector<std::string> UnusableBundles(const std::vector<ForeignBundleFile>& files);

}  // namespace lanyard
