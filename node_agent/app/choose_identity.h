// Which of the identities that the agent handed out is meant: what --spiffe-id does.
//
// Thread: any.
#pragma once

#include <string>
#include <vector>

#include "node_agent/app/text_output.h"
#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"

namespace lanyard {

// Leaves only the SVIDs of `wanted`, of whichever kind they are. PermissionDenied names what there is.
template <class Fetched>
Status ChooseIdentity(const SpiffeId& wanted, std::vector<Fetched>& svids) {
  std::vector<std::string> others;
  others.reserve(svids.size());
  for (const Fetched& one : svids) others.push_back(one.svid.id().str());
  std::erase_if(svids, [&](const Fetched& one) { return one.svid.id() != wanted; });
  if (!svids.empty()) return OkStatus();
  return Error(StatusCode::kPermissionDenied, "denied: this process may not be {}; it may be {}", wanted.str(),
               Join(others, ", "));
}

}  // namespace lanyard
