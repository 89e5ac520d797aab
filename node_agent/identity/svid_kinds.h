// What the cache of one SVID per entry has to know about a kind of SVID that comes with a key.
//
// Thread: loop, as for the source.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "node_agent/identity/cached_svid.h"
#include "node_agent/identity/identity_source.h"
#include "node_agent/identity/token_serial.h"

namespace lanyard {

struct X509Kind {
  using Svid = X509Svid;
  using CachedPtr = CachedSvidPtr;
  static constexpr std::string_view kName = "X.509-SVID";

  static void Issue(IdentitySource& source, IssueRequest request, IdentitySource::IssueDone done) {
    source.Issue(std::move(request), std::move(done));
  }
  static Result<CachedPtr> Make(const EntryPtr& entry, Result<Svid> svid, WallTime now, std::uint64_t version,
                                double random) {
    return MakeCachedSvid(entry, std::move(svid), now, version, random);
  }
  static void OnSignerChange(IdentitySource& source, IdentitySource::Listener listener) {
    source.OnSignerChange(std::move(listener));
  }
  static std::string Serial(const Svid& svid) { return svid.serial_hex(); }
};

struct WitKind {
  using Svid = WitSvid;
  using CachedPtr = CachedWitSvidPtr;
  static constexpr std::string_view kName = "WIT-SVID";

  static void Issue(IdentitySource& source, IssueRequest request, IdentitySource::WitDone done) {
    source.IssueWit(
        {.entry = std::move(request.entry), .ttl = request.ttl, .key_type = request.key_type, .cause = request.cause},
        std::move(done));
  }
  static Result<CachedPtr> Make(const EntryPtr& entry, Result<Svid> svid, WallTime now, std::uint64_t version,
                                double random) {
    return MakeCachedWitSvid(entry, std::move(svid), now, version, random);
  }
  static void OnSignerChange(IdentitySource& source, IdentitySource::Listener listener) {
    source.OnTokenSignerChange(std::move(listener));
  }
  static std::string Serial(const Svid& svid) { return TokenSerial(svid.token_id(), svid.token()); }
};

}  // namespace lanyard
