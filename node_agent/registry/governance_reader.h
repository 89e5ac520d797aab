// The governance part of a registration entry: environment, tier, owner, tools, may_begin.
//
// Thread: any. No I/O.
#pragma once

#include "node_agent/base/yaml.h"
#include "node_agent/registry/entry.h"

namespace lanyard {

// Fills `entry` from the keys of `node`; mistakes go to `errors` with their positions.
void ReadGovernance(const YamlNode& node, const TrustDomain& trust_domain, Entry& entry, YamlErrors& errors);

// A SPIFFE ID that an agent of `trust_domain` can have: with a path, none of its segments `task`, and short enough for
// a task's ID below it to fit into 2,048 bytes.
Result<SpiffeId> ReadAgentId(const YamlNode& node, const TrustDomain& trust_domain);

}  // namespace lanyard
