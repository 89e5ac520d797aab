// Names for the DNS SANs of an SVID.
//
// Thread: any.
#pragma once

#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

// A host name in the preferred syntax (RFC 1034 §3.5 with underscores allowed), lower case, at most 253 bytes, no
// trailing dot. No wildcards: an SVID names one workload, and a wildcard would let it answer for its neighbours.
Status CheckDnsName(std::string_view name);

}  // namespace lanyard
