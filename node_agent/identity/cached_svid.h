// An SVID in the form in which streams send it, made once and shared by all of them.
//
// Thread: any; immutable. The key bytes are wiped with the last reference.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "node_agent/base/clock.h"
#include "node_agent/base/status.h"
#include "node_agent/registry/entry.h"
#include "pki/jwt_svid.h"
#include "pki/secret_bytes.h"
#include "pki/wit_svid.h"
#include "pki/x509_svid.h"

namespace lanyard {

struct CachedSvid {
  X509Svid svid;
  EntryPtr entry;
  std::uint64_t version = 0;  // rises with every SVID of the cache
  std::string chain_der;      // as in X509SVID.x509_svid of the Workload API
  SecretBytes key_pkcs8;      // as in X509SVID.x509_svid_key
  WallTime issued;
  WallTime renew_at;

  WallTime not_after() const { return svid.not_after(); }
};
using CachedSvidPtr = std::shared_ptr<const CachedSvid>;

struct CachedWitSvid {
  WitSvid svid;
  EntryPtr entry;
  std::uint64_t version = 0;  // as above
  SecretBytes key_jwk;        // as in WITSVID.wit_svid_key; svid.token() is what goes with it
  WallTime issued;
  WallTime renew_at;

  WallTime not_after() const { return svid.expires(); }
};
using CachedWitSvidPtr = std::shared_ptr<const CachedWitSvid>;

inline bool IsValidAt(const X509Svid& svid, WallTime now) {
  return svid.not_before() <= now && now < svid.not_after();
}
inline bool IsValidAt(const CachedSvid& cached, WallTime now) {
  return IsValidAt(cached.svid, now);
}
// Of a token that was signed here it is known when, and a clock that was set back since makes it one from the future.
inline bool IsValidAt(const CachedWitSvid& cached, WallTime now) {
  return cached.issued <= now + kTokenLeeway && now < cached.not_after();
}

// Checks what a source sent against what it was asked for: the source may be far away. `random` is uniform in [0, 1).
Result<CachedSvidPtr> MakeCachedSvid(const EntryPtr& entry, Result<X509Svid> svid, WallTime now, std::uint64_t version,
                                     double random);
Result<CachedWitSvidPtr> MakeCachedWitSvid(const EntryPtr& entry, Result<WitSvid> svid, WallTime now,
                                           std::uint64_t version, double random);

}  // namespace lanyard
