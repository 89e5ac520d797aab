// Do the registry and the configuration agree on attestors?
//
// Thread: any.
#pragma once

#include <string>
#include <vector>

#include "node_agent/app/config.h"
#include "node_agent/registry/registry.h"

namespace lanyard {

// One line for each entry that needs a selector of an attestor that is built in and turned off: nobody earns it.
std::vector<std::string> UnattestedEntries(const Registry& registry, const AttestorsConfig& attestors);

}  // namespace lanyard
