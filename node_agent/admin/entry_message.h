// A registration entry as the operator's API shows it.
//
// Thread: any.
#pragma once

#include "node_agent/admin/proto/admin.pb.h"
#include "node_agent/registry/registry.h"

namespace lanyard {

admin::v1::Entry ToMessage(const Registry::Item& item);

}  // namespace lanyard
