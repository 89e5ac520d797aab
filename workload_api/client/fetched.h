// What the Workload API answered, checked before anybody uses it.
//
// Keys must fit certificates, each SVID must be one by the standard, and its chain must lead to the bundle that came
// with it; revocation lists must be such: an answer that does not hold together is an error, whoever sent it.
//
// Thread: any.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/crl.h"
#include "pki/x509_svid.h"

class X509BundlesResponse;
class X509SVIDResponse;

namespace lanyard {

struct FetchedSvid {
  X509Svid svid;
  Bundle bundle;  // of the SVID's own trust domain
  std::string hint;
};

struct FetchedSvids {
  std::vector<FetchedSvid> svids;  // at least one; the first is the default
  BundleSet federated;
  std::vector<Crl> crls;
};

// InvalidArgument says which SVID or bundle is wrong, and how.
Result<FetchedSvids> CheckSvids(const X509SVIDResponse& response, std::chrono::system_clock::time_point now);
// Overwrites the private keys in an answer. What was made of it has them in memory of its own.
void WipeKeys(X509SVIDResponse& response);
Result<BundleSet> CheckBundles(const X509BundlesResponse& response);
// The revocation lists that come with bundles.
Result<std::vector<Crl>> CheckCrls(const X509BundlesResponse& response);

}  // namespace lanyard
