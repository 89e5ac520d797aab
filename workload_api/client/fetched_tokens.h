// What the Workload API answered about tokens, checked before anybody uses it: fetched.h for JWT-SVIDs and WIT-SVIDs.
//
// A token must be one by its standard, be for whom the message says it is, and be within its time. A JWT-SVID must be
// for every audience that was asked for, and the key of a WIT-SVID must be the one that the token names. That a token's
// signature is good is left to whom it is shown: the answer has no bundle with it.
//
// Thread: any. The secrets in a message are the caller's to wipe.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/jwt_svid.h"
#include "pki/wit_svid.h"

class JWTBundlesResponse;
class JWTSVIDResponse;
class WITBundlesResponse;
class WITSVIDResponse;

namespace lanyard {

struct FetchedJwtSvid {
  JwtSvid svid;
  std::string hint;
};

struct FetchedWitSvid {
  WitSvid svid;
  std::string hint;
};

// At least one; the first is the default. InvalidArgument says which SVID is wrong, and how, and never quotes it.
Result<std::vector<FetchedJwtSvid>> CheckJwtSvids(const JWTSVIDResponse& response,
                                                  const std::vector<std::string>& audiences,
                                                  std::chrono::system_clock::time_point now);
Result<std::vector<FetchedWitSvid>> CheckWitSvids(const WITSVIDResponse& response,
                                                  std::chrono::system_clock::time_point now);

// Bundles that have authorities of this one kind. InvalidArgument says which one is wrong, and how.
Result<BundleSet> CheckJwtBundles(const JWTBundlesResponse& response);
Result<BundleSet> CheckWitBundles(const WITBundlesResponse& response);

}  // namespace lanyard
