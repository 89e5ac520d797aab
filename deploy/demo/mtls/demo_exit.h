// What both demo programs say at their beginning and their end.
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/base/status.h"
#include "pki/x509_svid.h"

namespace lanyard::demo {

// Says on stderr what went wrong and returns the exit code for it: 4 refused, 3 node agent not reached, 1 otherwise.
int Report(const Status& status);

// "spiffe://…, serial 4f…, valid for 20 s", for people.
std::string Describe(const X509Svid& svid);

}  // namespace lanyard::demo
