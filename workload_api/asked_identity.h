// Which of its identities a caller asks for: one by its SPIFFE ID, or all.
//
// Thread: any.
#pragma once

#include <optional>
#include <string_view>

#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"
#include "workload_api/caller.h"

namespace lanyard {

class AskedIdentity {
 public:
  AskedIdentity() = default;  // all

  // The field spiffe_id of a request; all if it is empty. InvalidArgument when it is no SPIFFE ID.
  static Result<AskedIdentity> Parse(std::string_view field);

  // Those that are asked for. PermissionDenied when there are none (SPIFFE_Workload_API §6.2.1).
  Result<Entries> Among(Entries earned) const;

 private:
  std::optional<SpiffeId> id_;
};

}  // namespace lanyard
