// What OpenID Connect libraries fetch to believe our JWT-SVIDs as the ID tokens of an issuer, knowing nothing of
// SPIFFE: the discovery document (OpenID Connect Discovery 1.0 §3) and the keys that it points to (RFC 7517).
//
// Both lie below the issuer's path: ISSUER/.well-known/openid-configuration (§4) and ISSUER/keys. The key set has the
// keys for JWT-SVIDs and no others, with the "use" and "alg" that such libraries look for in place of SPIFFE's; the
// same bundle gives the same bytes. Nobody logs in here, so there is no authorization endpoint.
//
// Answers may be kept for as long as bundles may. While there is no key both are 503 with the reason: an empty set
// would say that every token is forged.
//
// Thread: loop.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "node_agent/base/http_server.h"
#include "pki/bundle.h"

namespace lanyard {

class OidcDiscovery {
 public:
  OidcDiscovery(std::string issuer, std::chrono::seconds max_age);  // an issuer as config_oidc.h reads it
  OidcDiscovery(const OidcDiscovery&) = delete;
  OidcDiscovery& operator=(const OidcDiscovery&) = delete;

  // The bundle is this now.
  void Show(const Bundle& bundle);
  // By path. They refer to this object.
  HttpRoutes Routes();

 private:
  HttpResponse Answer(const std::string& document) const;

  const std::string issuer_;
  const std::string base_;  // without a slash at its end
  const std::string cache_control_;
  std::string configuration_, keys_;  // empty while there is no key
  bool shown_ = false;
};

}  // namespace lanyard
