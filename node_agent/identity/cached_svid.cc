#include "node_agent/identity/cached_svid.h"

#include <utility>

#include "node_agent/identity/renewal_times.h"
#include "node_agent/identity/text.h"
#include "pki/jwk_private.h"

namespace lanyard {

Result<CachedSvidPtr> MakeCachedSvid(const EntryPtr& entry, Result<X509Svid> svid, WallTime now, std::uint64_t version,
                                     double random) {
  if (!svid.ok()) return svid.status();
  if (!(svid->id() == entry->id)) {
    return Error(StatusCode::kInternal, "asked for an SVID of {}, got one of {}", entry->id.str(), svid->id().str());
  }
  if (!IsValidAt(*svid, now)) {
    return Error(StatusCode::kUnavailable, "the new SVID of {} is not valid now ({}), but from {} to {}",
                 entry->id.str(), Utc(now), Utc(svid->not_before()), Utc(svid->not_after()));
  }
  ASSIGN_OR_RETURN(SecretBytes key, svid->key().ToPkcs8Der());
  std::string chain = svid->ChainDer();
  const WallTime end = svid->not_after();
  return std::make_shared<const CachedSvid>(CachedSvid{.svid = *std::move(svid),
                                                       .entry = entry,
                                                       .version = version,
                                                       .chain_der = std::move(chain),
                                                       .key_pkcs8 = std::move(key),
                                                       .issued = now,
                                                       .renew_at = RenewalTime(now, end, random)});
}

Result<CachedWitSvidPtr> MakeCachedWitSvid(const EntryPtr& entry, Result<WitSvid> svid, WallTime now,
                                           std::uint64_t version, double random) {
  if (!svid.ok()) return svid.status();
  if (!(svid->id() == entry->id)) {
    return Error(StatusCode::kInternal, "asked for a WIT-SVID of {}, got one of {}", entry->id.str(), svid->id().str());
  }
  const WallTime end = svid->expires();
  if (end <= now) {
    return Error(StatusCode::kUnavailable, "the new WIT-SVID of {} is not valid now ({}), but until {}",
                 entry->id.str(), Utc(now), Utc(end));
  }
  ASSIGN_OR_RETURN(SecretBytes key, PrivateKeyToJwk(svid->key()));
  return std::make_shared<const CachedWitSvid>(CachedWitSvid{.svid = *std::move(svid),
                                                             .entry = entry,
                                                             .version = version,
                                                             .key_jwk = std::move(key),
                                                             .issued = now,
                                                             .renew_at = RenewalTime(now, end, random)});
}

}  // namespace lanyard
