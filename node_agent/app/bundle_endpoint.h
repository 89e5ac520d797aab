// The bundle endpoint: our trust domain's bundle over HTTPS, for other trust domains (SPIFFE_Federation §5), and the
// keys of JWT-SVIDs for OpenID Connect libraries (oidc_discovery.h).
//
// GET / is the SPIFFE bundle document, the newest, for anybody: clients are not asked who they are. The server proves
// itself with given certificate files (profile https_web), which are read again when they change, or with an X.509-SVID
// of its own (profile https_spiffe), spiffe://TRUST-DOMAIN/lanyard/bundle-endpoint, which is renewed like any other and
// which no registry entry may have. Either is replaced without touching a connection that is open.
//
// Until there is a certificate connections are closed; a broken file keeps the last good one; health() says both.
//
// Lifetime: borrows the loop, the clock, the cache, the source and the hub. Thread: loop.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "node_agent/app/bundle_document.h"
#include "node_agent/app/config_endpoints.h"
#include "node_agent/app/oidc_discovery.h"
#include "node_agent/app/tls_filter.h"
#include "node_agent/base/dir_watcher.h"
#include "node_agent/base/health.h"
#include "node_agent/identity/update_hub.h"

namespace lanyard {

struct BundleEndpointSources {
  EventLoop& loop;
  Clock& clock;
  SvidCache& svids;
  IdentitySource& source;
  UpdateHub& hub;
};

struct BundleEndpointOptions {
  BundleEndpointConfig config;  // with an address
  TrustDomain trust_domain;
  std::string oidc_issuer;  // empty: no discovery
  std::string sequence_file;
  std::chrono::seconds refresh_hint;
};

// How often others should fetch: five times at least before a new root signs (SPIFFE_Federation §4.1), and no less
// often than the standard recommends where nothing is said.
std::chrono::seconds RefreshHintFor(std::chrono::seconds ca_ttl);

class BundleEndpoint {
 public:
  static Result<std::unique_ptr<BundleEndpoint>> Start(BundleEndpointSources sources, BundleEndpointOptions options);
  BundleEndpoint(const BundleEndpoint&) = delete;
  BundleEndpoint& operator=(const BundleEndpoint&) = delete;

  const HttpAddress& address() const { return server_->address(); }
  HealthReport health() const;

 private:
  struct GivenCertificate {
    TlsServerContext context;
    WallTime not_before, not_after;
  };

  BundleEndpoint(BundleEndpointSources sources, BundleEndpointOptions options);
  static Result<GivenCertificate> ReadGiven(const BundleEndpointConfig& config);
  HttpRoutes Routes();
  void ShowBundle();
  Status UseGivenFiles();
  void ReadGivenFiles();
  void TakeGiven(Result<GivenCertificate> given);
  void WarnIfNotTheIssuers(const TlsServerContext& context) const;
  void UseOwnSvid();
  void AskForOwnSvid();
  void TakeOwnSvid(const CachedSvidPtr& cached);

  BundleEndpointSources from_;
  const BundleEndpointOptions options_;
  BundleDocument document_;
  std::optional<OidcDiscovery> oidc_;
  TlsSlot tls_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<UpdateHub::Subscription> subscription_;
  std::optional<std::pair<WallTime, WallTime>> valid_;  // the certificate in use
  Status trouble_;                                      // with the newest
  // Of given files
  std::unique_ptr<DirWatcher> watcher_;
  bool reading_ = false, read_again_ = false;
  // Of our own SVID
  EntryPtr own_;
  std::unique_ptr<Clock::Alarm> again_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
