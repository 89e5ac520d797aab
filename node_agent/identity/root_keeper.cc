#include "node_agent/identity/root_keeper.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/join.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/text.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

RootSettings SettingsOf(const CaOptions& options) {
  return {.trust_domain = options.trust_domain, .key_type = options.key_type, .ttl = options.ca_ttl};
}

seconds UsualLifetime(SvidKind kind, const CaOptions& options) {
  return kind == SvidKind::kJwt ? options.usual_jwt_ttl : options.usual_leaf_ttl;
}

// The key for tokens that an authority is.
Result<JwtAuthority> TokenAuthorityOf(const Authority& authority) {
  return JwtAuthority::Create(authority.key.public_key(), authority.certificate.not_after());
}

Result<std::vector<JwtAuthority>> TokenAuthoritiesOf(const CaState& state) {
  std::vector<JwtAuthority> authorities;
  for (const Authority& authority : state.authorities) {
    ASSIGN_OR_RETURN(JwtAuthority made, TokenAuthorityOf(authority));
    authorities.push_back(std::move(made));
  }
  return authorities;
}

Result<TokenSigner> TokenSignerOf(const CaState& state) {
  const Authority* active = state.Active();
  if (active == nullptr) return Error(StatusCode::kFailedPrecondition, "no key for tokens is active");
  ASSIGN_OR_RETURN(JwtAuthority authority, TokenAuthorityOf(*active));
  return TokenSigner::Create(std::move(authority), active->key);
}

Result<SigningState> ToSigningState(const CaState& roots, const CaState& jwt, const CaState& wit,
                                    const TrustDomain& trust_domain) {
  const Authority* active = roots.Active();
  if (active == nullptr) return Error(StatusCode::kFailedPrecondition, "no root is active");
  ASSIGN_OR_RETURN(Issuer issuer, Issuer::Create({active->certificate}, active->key));
  std::vector<Certificate> certificates;
  for (const Authority& authority : roots.authorities) certificates.push_back(authority.certificate);
  TokenAuthorities keys;
  ASSIGN_OR_RETURN(keys.jwt, TokenAuthoritiesOf(jwt));
  ASSIGN_OR_RETURN(keys.wit, TokenAuthoritiesOf(wit));
  ASSIGN_OR_RETURN(Bundle bundle, Bundle::Create(trust_domain, std::move(certificates), {}, std::move(keys)));
  SigningState state{std::move(issuer), std::move(bundle)};
  ASSIGN_OR_RETURN(state.tokens.jwt, TokenSignerOf(jwt));
  ASSIGN_OR_RETURN(state.tokens.wit, TokenSignerOf(wit));
  return state;
}

}  // namespace

std::string DirectoryOf(SvidKind kind) {
  return kind == SvidKind::kX509 ? "ca" : fmt::format("ca/{}", SvidKindName(kind));
}

CaStore StoreOf(SvidKind kind, const DataDirLock& data_dir, const TrustDomain& trust_domain) {
  return {data_dir, trust_domain, DirectoryOf(kind)};
}

Result<CaState> LoadAndCatchUp(const CaStore& store, SvidKind kind, const CaOptions& options, WallTime now) {
  ASSIGN_OR_RETURN(CaState loaded, store.Load());
  return CatchUp(store, std::move(loaded), SettingsOf(options), UsualLifetime(kind, options), now);
}

std::vector<AuthorityInfo> DescribeAuthorities(SvidKind kind, const CaState& state, const std::string& directory) {
  std::vector<AuthorityInfo> infos;
  for (const Authority& authority : state.authorities) {
    AuthorityInfo info{.id = authority.id,
                       .kind = kind,
                       .phase = authority.phase,
                       .key_type = std::string(KeyTypeName(authority.key.type())),
                       .not_before = authority.certificate.not_before(),
                       .not_after = authority.certificate.not_after(),
                       .signs_from = std::nullopt,
                       .keep_until = authority.keep_until,
                       .file = directory + "/" + authority.id + ".pem"};
    if (kind != SvidKind::kX509) {
      if (const auto named = TokenAuthorityOf(authority); named.ok()) info.id = named->key_id();
    }
    if (authority.phase == AuthorityPhase::kPrepared && state.Active() != nullptr) {
      info.signs_from = HandoverTime(*state.Active());
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

Result<std::unique_ptr<RootKeeper>> RootKeeper::Start(CaOptions options, const DataDirLock& data_dir, EventLoop& loop,
                                                      Clock& clock) {
  std::vector<Loaded> loaded;
  Found found = Found::kRoots;
  for (const SvidKind kind : kSvidKinds) {
    CaStore store = StoreOf(kind, data_dir, options.trust_domain);
    auto before = store.Load();
    if (!before.ok()) return Annotate(before.status(), "load the embedded CA");
    if (kind == SvidKind::kX509 && before->authorities.empty()) found = Found::kNothing;
    auto state = CatchUp(store, *std::move(before), SettingsOf(options), UsualLifetime(kind, options), clock.WallNow());
    if (!state.ok()) return Annotate(state.status(), "start the embedded CA");
    loaded.push_back({std::move(store), *std::move(state)});
  }
  RETURN_IF_ERROR(ToSigningState(loaded[0].state, loaded[1].state, loaded[2].state, options.trust_domain).status());
  return std::unique_ptr<RootKeeper>(new RootKeeper(std::move(options), std::move(loaded), found, loop, clock));
}

RootKeeper::RootKeeper(CaOptions options, std::vector<Loaded> loaded, Found found, EventLoop& loop, Clock& clock)
    : options_(std::move(options)),
      made_anew_(found == Found::kNothing),
      clock_(clock),
      ca_(loop, clock, options_.jwt_issuer) {
  for (const SvidKind kind : kSvidKinds) {
    Loaded& one = loaded[static_cast<std::size_t>(kind)];
    tracks_.push_back(std::make_unique<AuthorityTrack>(
        kind, SettingsOf(options_), std::move(one.store), std::move(one.state),
        AuthorityTrack::Owner{.on_change = [this] { InstallState(); },
                              .on_report = [this] { ReportHealth(); },
                              .latest_end = [this, kind] { return ca_.latest_end(kind); }},
        loop, clock));
  }
  ca_.SetLifetimeGuard([this](SvidKind kind, seconds lifetime, Done done) {
    tracks_[static_cast<std::size_t>(kind)]->Cover(lifetime, std::move(done));
  });
  InstallState();
  for (const auto& each : tracks_) each->Continue();
}

void RootKeeper::Rotate(Done done) {
  const Join join(tracks_.size(), std::move(done));
  for (const auto& each : tracks_) each->Rotate(join.Part());
}

void RootKeeper::InstallState() {
  auto signing = ToSigningState(track(SvidKind::kX509).state(), track(SvidKind::kJwt).state(),
                                track(SvidKind::kWit).state(), options_.trust_domain);
  if (signing.ok()) {
    ca_.Install(*std::move(signing));
  } else {
    ca_.Withdraw(signing.status());
  }
  ReportHealth();
}

std::vector<Issuer> RootKeeper::issuers() const {
  std::vector<Issuer> issuers;
  for (const Authority& authority : track(SvidKind::kX509).state().authorities) {
    auto issuer = Issuer::Create({authority.certificate}, authority.key);
    if (issuer.ok()) {
      issuers.push_back(*std::move(issuer));
    } else {
      LANYARD_LOG_ERROR("embedded CA: root {}: {}", authority.id, Message(issuer.status()));
    }
  }
  return issuers;
}

std::vector<AuthorityInfo> RootKeeper::Show() const {
  std::vector<AuthorityInfo> infos;
  for (const SvidKind kind : kSvidKinds) {
    for (AuthorityInfo& info : DescribeAuthorities(kind, track(kind).state(), track(kind).directory()))
      infos.push_back(std::move(info));
  }
  return infos;
}

void RootKeeper::ReportHealth() {
  if (track(SvidKind::kX509).state().Active() == nullptr) return;  // withdrawn, and EmbeddedCa says so
  HealthReport report = HealthOfRoots();
  for (const SvidKind kind : {SvidKind::kJwt, SvidKind::kWit}) {
    const Status& failure = track(kind).last_failure();
    if (!failure.ok()) {
      if (report.level == HealthLevel::kGood) report.level = HealthLevel::kDegraded;
      report.text += fmt::format(" Of the keys for tokens: {}.", Message(failure));
    }
    if (!IsUsable(track(kind).state().Active(), clock_.WallNow())) {
      report.level = HealthLevel::kBroken;
      report.text += fmt::format(" No key is valid now that could sign {} SVIDs.", SvidKindName(kind));
    }
  }
  ca_.SetHealth(std::move(report));
}

HealthReport RootKeeper::HealthOfRoots() const {
  const AuthorityTrack& roots = track(SvidKind::kX509);
  const Authority& active = *roots.state().Active();
  const Status& failure = roots.last_failure();
  const WallTime end = active.certificate.not_after();
  if (clock_.WallNow() < active.certificate.not_before()) {
    return {HealthLevel::kBroken, fmt::format("By the wall clock the root {} begins only on {}. {}", active.id,
                                              Utc(active.certificate.not_before()), Message(failure))};
  }
  if (end <= clock_.WallNow()) {
    return {HealthLevel::kBroken,
            fmt::format("The root {} has expired on {}. {}", active.id, Utc(end), Message(failure))};
  }
  if (!failure.ok()) {
    return {HealthLevel::kDegraded,
            fmt::format("The root {} signs until {}, but: {}.", active.id, Utc(end), Message(failure))};
  }
  std::string text = fmt::format("The root {} signs until {}; the next one takes over on {}.", active.id, Utc(end),
                                 Utc(HandoverTime(active)));
  for (const Authority& authority : roots.state().authorities) {
    if (!authority.may_return) continue;
    text += fmt::format(" The root {} (from {} to {}) was set aside when the wall clock left its dates.", authority.id,
                        Utc(authority.certificate.not_before()), Utc(authority.certificate.not_after()));
  }
  return {HealthLevel::kGood, std::move(text)};
}

}  // namespace lanyard
