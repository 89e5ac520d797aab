#include "node_agent/app/bundle_endpoint.h"

#include <algorithm>
#include <utility>

#include "node_agent/app/config_oidc.h"
#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/base/utc.h"
#include "node_agent/registry/reserved_ids.h"
#include "node_agent/state/secret_file.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxFileBytes = std::size_t{1024} * 1024;
constexpr seconds kLookAgain{5};
constexpr seconds kLongestHint{300};
constexpr int kWarnFraction = 6;  // of a given certificate's life: said in health when only that much is left

}  // namespace

// The next root is in the bundle for a third of its predecessor's life before it signs.
seconds RefreshHintFor(seconds ca_ttl) {
  return std::clamp(ca_ttl / 3 / 5, seconds(1), kLongestHint);
}

BundleEndpoint::BundleEndpoint(BundleEndpointSources sources, BundleEndpointOptions options)
    : from_(sources),
      options_(std::move(options)),
      document_(from_.loop, from_.clock, options_.sequence_file, options_.refresh_hint),
      trouble_(Error(StatusCode::kUnavailable, "its certificate is not there yet")) {
  if (!options_.oidc_issuer.empty()) oidc_.emplace(options_.oidc_issuer, options_.refresh_hint);
}

Result<std::unique_ptr<BundleEndpoint>> BundleEndpoint::Start(BundleEndpointSources sources,
                                                              BundleEndpointOptions options) {
  std::unique_ptr<BundleEndpoint> endpoint(new BundleEndpoint(sources, std::move(options)));
  const BundleEndpointConfig& config = endpoint->options_.config;
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): with an address, says BundleEndpointOptions
  auto server = HttpServer::Start(sources.loop, *config.address, endpoint->Routes(), {}, endpoint->tls_.filters());
  if (!server.ok()) return Annotate(server.status(), "endpoints.bundle");
  endpoint->server_ = *std::move(server);
  endpoint->subscription_ = sources.hub.Subscribe(Shows::kBundleDocument, [raw = endpoint.get()](Update update) {
    if (update.bundle || update.token_keys) raw->ShowBundle();
    if (update.svids && raw->own_ != nullptr) raw->TakeOwnSvid(raw->from_.svids.Peek(raw->own_));
  });
  endpoint->ShowBundle();
  if (config.cert.empty()) {
    endpoint->UseOwnSvid();
  } else if (const Status watched = endpoint->UseGivenFiles(); !watched.ok()) {
    return Annotate(watched, "endpoints.bundle");
  }
  return endpoint;
}

HttpRoutes BundleEndpoint::Routes() {
  HttpRoutes routes = {{"/", [this] {
                          if (document_.text().empty())
                            return HttpResponse{.status = 503, .body = "the bundle is not there yet\n"};
                          return HttpResponse{.content_type = "application/json", .body = document_.text()};
                        }}};
  if (oidc_) routes.merge(oidc_->Routes());
  return routes;
}

void BundleEndpoint::ShowBundle() {
  const std::shared_ptr<const Bundle> bundle = from_.source.bundle();
  if (bundle == nullptr) return;
  document_.Show(*bundle);
  if (oidc_) oidc_->Show(*bundle);
}

Result<BundleEndpoint::GivenCertificate> BundleEndpoint::ReadGiven(const BundleEndpointConfig& config) {
  auto pem = ReadTrustedFile(config.cert, kMaxFileBytes, FileSecrecy::kPublic);
  if (!pem.ok()) return Annotate(pem.status(), "endpoints.bundle.cert");
  auto chain = Certificate::ListFromPem(*pem);
  if (!chain.ok()) return Annotate(chain.status(), "endpoints.bundle.cert {}", config.cert);
  auto key_pem = ReadSecretFile(config.key, kMaxFileBytes);
  if (!key_pem.ok()) return Annotate(key_pem.status(), "endpoints.bundle.key");
  auto key = PrivateKey::FromPem(key_pem->expose());
  if (!key.ok()) return Annotate(key.status(), "endpoints.bundle.key {}", config.key);
  auto context = TlsServerContext::Create(*chain, *key);
  if (!context.ok())
    return Annotate(context.status(), "endpoints.bundle.cert {} with endpoints.bundle.key {}", config.cert, config.key);
  return GivenCertificate{*std::move(context), chain->front().not_before(), chain->front().not_after()};
}

Status BundleEndpoint::UseGivenFiles() {
  ASSIGN_OR_RETURN(watcher_, WatchPaths(from_.loop, from_.clock, {options_.config.cert, options_.config.key},
                                        [this] { ReadGivenFiles(); }));
  ReadGivenFiles();
  return OkStatus();
}

void BundleEndpoint::ReadGivenFiles() {
  read_again_ = reading_;
  if (std::exchange(reading_, true)) return;
  from_.loop.ComputeInPool([config = options_.config] { return ReadGiven(config); },
                           [this, alive = std::weak_ptr<void>(alive_)](Result<GivenCertificate> given) {
                             if (alive.expired()) return;
                             reading_ = false;
                             TakeGiven(std::move(given));
                             if (std::exchange(read_again_, false)) ReadGivenFiles();
                           });
}

void BundleEndpoint::TakeGiven(Result<GivenCertificate> given) {
  const bool news = Message(trouble_) != Message(given.status());
  trouble_ = given.status();
  again_ = nullptr;
  if (!given.ok()) {
    if (news) LANYARD_LOG_ERROR("{}{}", Message(trouble_), valid_ ? "; the last good certificate stays in use" : "");
    again_ = from_.clock.CallAfter(kLookAgain, [this] { ReadGivenFiles(); });  // a fault whose end no event announces
    return;
  }
  valid_ = {given->not_before, given->not_after};
  WarnIfNotTheIssuers(given->context);
  tls_.Set(std::move(given->context));
  LANYARD_LOG_INFO("the bundle endpoint's certificate was read; it is valid until {}", Utc(valid_->second));
}

void BundleEndpoint::WarnIfNotTheIssuers(const TlsServerContext& context) const {
  if (!oidc_) return;
  const std::string host(OidcIssuerHost(options_.oidc_issuer));
  if (context.Names(host)) return;
  LANYARD_LOG_WARN(
      "endpoints.bundle.cert {} does not name {}, the host of oidc.issuer: verifiers that come here by that name "
      "refuse it; give a certificate for it, unless a proxy ends TLS",
      options_.config.cert, host);
}

void BundleEndpoint::UseOwnSvid() {
  Result<SpiffeId> id = SpiffeId::FromTrustDomainAndPath(options_.trust_domain, kBundleEndpointPath);
  if (!id.ok()) {  // too long a trust domain
    trouble_ = id.status();
    return;
  }
  own_ = std::make_shared<const Entry>(Entry{.id = *std::move(id)});
  subscription_->SetInterest({own_});
  AskForOwnSvid();
}

void BundleEndpoint::AskForOwnSvid() {
  from_.svids.Get(own_, [this, alive = std::weak_ptr<void>(alive_)](Result<CachedSvidPtr> svid) {
    if (alive.expired()) return;
    if (svid.ok()) return TakeOwnSvid(*svid);
    if (Message(trouble_) != Message(svid.status()))
      LANYARD_LOG_ERROR("bundle endpoint: {}; trying again", Message(svid.status()));
    trouble_ = svid.status();
    again_ = from_.clock.CallAfter(kLookAgain, [this] { AskForOwnSvid(); });
  });
}

void BundleEndpoint::TakeOwnSvid(const CachedSvidPtr& cached) {
  if (cached == nullptr) {
    trouble_ = Error(StatusCode::kUnavailable, "its X.509-SVID could not be renewed");
    again_ = from_.clock.CallAfter(kLookAgain, [this] { AskForOwnSvid(); });
    return;
  }
  Result<TlsServerContext> context = TlsServerContext::Create(cached->svid.chain(), cached->svid.key());
  trouble_ = context.status();
  if (!context.ok()) return;
  valid_ = {cached->svid.not_before(), cached->svid.not_after()};
  tls_.Set(*std::move(context));
}

HealthReport BundleEndpoint::health() const {
  if (tls_.empty())
    return {HealthLevel::kBroken, fmt::format("the bundle endpoint answers nobody: {}", Message(trouble_))};
  const WallTime now = from_.clock.WallNow();
  if (valid_ && (now < valid_->first || valid_->second <= now)) {
    return {HealthLevel::kBroken,
            fmt::format("the bundle endpoint's certificate is valid from {} until {} only{}{}", Utc(valid_->first),
                        Utc(valid_->second), trouble_.ok() ? "" : ": ", Message(trouble_))};
  }
  if (!trouble_.ok()) {
    return {HealthLevel::kDegraded,
            fmt::format("the bundle endpoint goes on with an older certificate: {}", Message(trouble_))};
  }
  if (!valid_ || watcher_ == nullptr) return {};  // our own SVID is renewed
  if (valid_->second - now < (valid_->second - valid_->first) / kWarnFraction) {
    return {HealthLevel::kDegraded, fmt::format("the bundle endpoint's certificate is valid only until {}; replace {}",
                                                Utc(valid_->second), options_.config.cert)};
  }
  if (!watcher_->health().ok()) {
    return {HealthLevel::kDegraded,
            fmt::format("changes of the bundle endpoint's certificate may go unseen: {}", Message(watcher_->health()))};
  }
  return {};
}

}  // namespace lanyard
