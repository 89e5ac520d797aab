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
#include "pki/secret_bytes.h"
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
};
using CachedSvidPtr = std::shared_ptr<const CachedSvid>;

inline bool IsValidAt(const X509Svid& svid, WallTime now) {
  return svid.not_before() <= now && now < svid.not_after();
}

// Checks what a source sent against what it was asked for: the source may be far away. `random` is uniform in [0, 1).
Result<CachedSvidPtr> MakeCachedSvid(const EntryPtr& entry, Result<X509Svid> svid, WallTime now, std::uint64_t version,
                                     double random);

}  // namespace lanyard
