// gRPC server reflection, v1 and v1alpha, from the descriptors compiled into this program.
//
// Describes what `services` (full names, and the messages they lead to) are made of, and nothing else that happens to
// be linked in. Limits count calls, not their messages: one call answers 64 requests and then ends.
//
// Thread: loop.
#pragma once

#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "node_agent/rpc/call.h"

namespace lanyard {

// Adds both versions, which are listed too. NotFound when a service's descriptor is not linked into this program.
Status AddReflection(Methods& methods, std::vector<std::string> services);

}  // namespace lanyard
