// What a bundle has for one kind of SVID.
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/identity/identity_source.h"
#include "pki/bundle.h"

namespace lanyard {

// The authorities as the Workload API hands them out: certificates in DER, or a JWK Set. The bundle's.
inline const std::string& KeysOf(const Bundle& bundle, SvidKind kind) {
  if (kind == SvidKind::kX509) return bundle.X509Der();
  return kind == SvidKind::kJwt ? bundle.JwtKeySet() : bundle.WitKeySet();
}

// Whether there is any.
inline bool HasKeys(const Bundle& bundle, SvidKind kind) {
  if (kind == SvidKind::kX509) return !bundle.x509_authorities().empty();
  return !(kind == SvidKind::kJwt ? bundle.jwt_authorities() : bundle.wit_authorities()).empty();
}

}  // namespace lanyard
