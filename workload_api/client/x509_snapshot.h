// What the Workload API has said about X.509 at one moment: who this program is, and whom it can verify.
//
// Thread: any; immutable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pki/bundle.h"
#include "pki/revocation.h"
#include "pki/x509_svid.h"

namespace lanyard {

struct X509Identity {
  X509Svid svid;
  std::string hint;  // what the operator says it is for; empty: nothing
};

struct X509Snapshot {
  std::vector<X509Identity> identities;  // the first is the default; none: the agent took them back
  BundleSet bundles;                     // of this trust domain and of federated ones
  RevocationLists revocation;
  std::uint64_t version = 0;  // rises with each snapshot of a client, from 1
};

}  // namespace lanyard
