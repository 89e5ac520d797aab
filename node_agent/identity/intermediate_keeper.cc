#include "node_agent/identity/intermediate_keeper.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/text.h"
#include "node_agent/state/secret_file.h"
#include "pki/jwk.h"
#include "pki/verifier.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxFileBytes = std::size_t{1024} * 1024;
constexpr seconds kLookAgain{5};
constexpr int kWarnFraction = 6;  // of the issuer's life: said in health when only that much is left

Result<std::vector<Certificate>> ReadCertificates(const std::string& path, std::string_view setting) {
  auto pem = ReadTrustedFile(path, kMaxFileBytes, FileSecrecy::kPublic);
  if (!pem.ok()) return Annotate(pem.status(), "{}", setting);
  auto certificates = Certificate::ListFromPem(*pem);
  if (!certificates.ok()) return Annotate(certificates.status(), "{} {}", setting, path);
  return certificates;
}

// What no check of single certificates can show: a leaf signed now is accepted by whoever has the upstream roots. It
// never leaves here.
Status ProveChain(const SigningState& state, const GivenIssuer& files, WallTime now) {
  ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::FromTrustDomainAndPath(state.bundle.trust_domain(), "/lanyard-self-check"));
  const LeafRequest request{.id = std::move(id),
                            .key_type = KeyType::kEcP256,
                            .dns_names = {},
                            .not_before = now - kLeafBackdate,
                            .not_after = now + std::chrono::minutes(1)};
  auto leaf = state.issuer.IssueLeaf(request);
  if (!leaf.ok()) return Annotate(leaf.status(), "issuer_cert {} cannot sign", files.issuer_cert);
  BundleSet bundles;
  bundles.Put(state.bundle);
  return Annotate(VerifyX509Svid(leaf->chain(), bundles, now).status(),
                  "issuer_cert {} does not verify against upstream_roots {}", files.issuer_cert, files.upstream_roots);
}

// Our bundle is also handed out as a document, and whoever reads that must find every root in it.
Status CheckHaveJwkForm(const std::vector<Certificate>& roots) {
  for (std::size_t i = 0; i < roots.size(); ++i) {
    const Result<PublicKey> key = roots[i].public_key();
    const Status form = key.ok() ? JwkMembersOf(*key).status() : key.status();
    if (!form.ok()) return Annotate(form, "certificate {}", i + 1);
  }
  return OkStatus();
}

Result<TokenKeys> ReadTokenKeys(const std::string& path) {
  if (path.empty()) return TokenKeys{.why_none = "the issuer is given by files, and no jwt_authority_key with it"};
  auto pem = ReadSecretFile(path, kMaxFileBytes);
  if (!pem.ok()) return Annotate(pem.status(), "jwt_authority_key");
  auto key = PrivateKey::FromPem(pem->expose());
  if (!key.ok()) return Annotate(key.status(), "jwt_authority_key {}", path);
  TokenKeys keys;
  ASSIGN_OR_RETURN(keys.jwt, TokenSigner::Create(*key));
  ASSIGN_OR_RETURN(JwtAuthority wit, JwtAuthority::Create("wit-" + keys.jwt->authority().key_id(), key->public_key()));
  ASSIGN_OR_RETURN(keys.wit, TokenSigner::Create(std::move(wit), *key));
  return keys;
}

TokenAuthorities AuthoritiesOf(const TokenKeys& keys) {
  TokenAuthorities authorities;
  if (keys.jwt) authorities.jwt.push_back(keys.jwt->authority());
  if (keys.wit) authorities.wit.push_back(keys.wit->authority());
  return authorities;
}

// `before` with an end, if another one signs next and it has signed anything: of all that it has signed, also when it
// had retired before and came back.
void Retire(const std::optional<TokenSigner>& before, const std::optional<TokenSigner>& next,
            std::optional<WallTime> latest_end, std::vector<JwtAuthority>& retired) {
  if (!before || !latest_end) return;
  const JwtAuthority& authority = before->authority();
  if (next && next->authority().key_id() == authority.key_id()) return;
  const auto known = std::find_if(retired.begin(), retired.end(), [&authority](const JwtAuthority& former) {
    return former.key_id() == authority.key_id();
  });
  if (known != retired.end()) latest_end = std::max(latest_end, known->not_after());
  auto ending = JwtAuthority::Create(authority.key_id(), authority.key(), latest_end);
  if (!ending.ok()) return;
  if (known != retired.end()) retired.erase(known);
  retired.push_back(*std::move(ending));
}

}  // namespace

AuthorityInfo DescribeIssuer(const Issuer& issuer, const std::string& file) {
  const Certificate& certificate = issuer.certificate();
  std::string id = KeyIdHex(certificate);
  std::string key_type = "unknown";
  if (auto key = certificate.public_key(); key.ok()) {
    if (auto type = key->type(); type.ok()) key_type = std::string(KeyTypeName(*type));
  }
  if (id.empty()) id = "serial " + certificate.serial_hex();
  return {.id = std::move(id),
          .phase = AuthorityPhase::kActive,
          .key_type = std::move(key_type),
          .not_before = certificate.not_before(),
          .not_after = issuer.not_after(),
          .signs_from = std::nullopt,
          .keep_until = std::nullopt,
          .file = file};
}

Result<SigningState> LoadGivenIssuer(const GivenIssuer& files, const TrustDomain& trust_domain, WallTime now) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, ReadCertificates(files.issuer_cert, "issuer_cert"));
  ASSIGN_OR_RETURN(std::vector<Certificate> roots, ReadCertificates(files.upstream_roots, "upstream_roots"));
  RETURN_IF_ERROR(Annotate(CheckHaveJwkForm(roots), "upstream_roots {}", files.upstream_roots));
  auto key_pem = ReadSecretFile(files.issuer_key, kMaxFileBytes);
  if (!key_pem.ok()) return Annotate(key_pem.status(), "issuer_key");
  auto key = PrivateKey::FromPem(key_pem->expose());
  if (!key.ok()) return Annotate(key.status(), "issuer_key {}", files.issuer_key);
  auto issuer = Issuer::Create(std::move(chain), *std::move(key));
  if (!issuer.ok())
    return Annotate(issuer.status(), "issuer_cert {} with issuer_key {}", files.issuer_cert, files.issuer_key);
  ASSIGN_OR_RETURN(TokenKeys tokens, ReadTokenKeys(files.jwt_authority_key));
  auto bundle = Bundle::Create(trust_domain, std::move(roots), {}, AuthoritiesOf(tokens));
  if (!bundle.ok()) return Annotate(bundle.status(), "upstream_roots {}", files.upstream_roots);
  SigningState state{*std::move(issuer), *std::move(bundle), std::move(tokens)};
  RETURN_IF_ERROR(ProveChain(state, files, now));
  return state;
}

Result<std::unique_ptr<IntermediateKeeper>> IntermediateKeeper::Start(CaOptions options, EventLoop& loop,
                                                                      Clock& clock) {
  const GivenIssuer files = *options.given;
  std::unique_ptr<IntermediateKeeper> keeper(new IntermediateKeeper(std::move(options), loop, clock));
  // Watched before they are read: a change in between is seen.
  std::vector<std::string> watched = {files.issuer_cert, files.issuer_key, files.upstream_roots};
  if (!files.jwt_authority_key.empty()) watched.push_back(files.jwt_authority_key);
  ASSIGN_OR_RETURN(keeper->watcher_,
                   WatchPaths(loop, clock, std::move(watched), [raw = keeper.get()] { raw->Reload(); }));
  auto state = LoadGivenIssuer(files, keeper->options_.trust_domain, clock.WallNow());
  if (!state.ok()) return Annotate(state.status(), "load the given issuer");
  keeper->Take(*std::move(state));
  keeper->SetAlarm();
  return keeper;
}

IntermediateKeeper::IntermediateKeeper(CaOptions options, EventLoop& loop, Clock& clock)
    : options_(std::move(options)), loop_(loop), clock_(clock), ca_(loop, clock, options_.jwt_issuer) {}

void IntermediateKeeper::Rotate(Done done) {
  loop_.Post([alive = std::weak_ptr<void>(alive_), done = std::move(done)]() mutable {
    if (alive.expired()) return;
    std::move(done)(
        Error(StatusCode::kFailedPrecondition,
              "the issuer is given by files and rotated by whoever issued it; replace issuer_cert and issuer_key"));
  });
}

std::vector<AuthorityInfo> IntermediateKeeper::Show() const {
  if (!given_) return {};
  return {DescribeIssuer(given_->issuer, options_.given->issuer_cert)};
}

void IntermediateKeeper::Reload() {
  if (loading_) {
    load_again_ = true;
    return;
  }
  loading_ = true;
  loop_.ComputeInPool([files = *options_.given, trust_domain = options_.trust_domain,
                       now = clock_.WallNow()] { return LoadGivenIssuer(files, trust_domain, now); },
                      [this, alive = std::weak_ptr<void>(alive_)](Result<SigningState> loaded) {
                        if (!alive.expired()) OnLoaded(std::move(loaded));
                      });
}

void IntermediateKeeper::OnLoaded(Result<SigningState> loaded) {
  loading_ = false;
  if (loaded.ok()) {
    const bool same = given_ && given_->issuer.certificate() == loaded->issuer.certificate() &&
                      given_->issuer.chain_tail() == loaded->issuer.chain_tail() &&
                      given_->bundle.SameAuthorities(loaded->bundle);
    if (!same || !last_failure_.ok()) LANYARD_LOG_INFO("given issuer: read again{}", same ? ", unchanged" : "");
    last_failure_ = OkStatus();
    Take(*std::move(loaded));
  } else {
    if (Message(last_failure_) != Message(loaded.status())) {
      LANYARD_LOG_WARN("given issuer: {}; the last good one stays in use", Message(loaded.status()));
    }
    last_failure_ = loaded.status();
    ReportHealth();
  }
  if (std::exchange(load_again_, false)) Reload();
}

void IntermediateKeeper::Take(SigningState state) {
  RetireTokenKeys(state.tokens);
  DropRetiredKeys();
  given_ = state;
  if (auto bundle = WithRetiredKeys(state.bundle); bundle.ok()) {
    state.bundle = *std::move(bundle);
  } else {
    LANYARD_LOG_ERROR("given issuer: {}; tokens of the key before are refused", Message(bundle.status()));
  }
  ca_.Install(std::move(state));
  ReportHealth();
}

void IntermediateKeeper::RetireTokenKeys(const TokenKeys& next) {
  if (!given_) return;
  Retire(given_->tokens.jwt, next.jwt, ca_.latest_end(SvidKind::kJwt), retired_.jwt);
  Retire(given_->tokens.wit, next.wit, ca_.latest_end(SvidKind::kWit), retired_.wit);
}

bool IntermediateKeeper::DropRetiredKeys() {
  const auto is_over = [now = clock_.WallNow()](const JwtAuthority& authority) {
    return *authority.not_after() <= now;
  };
  return std::erase_if(retired_.jwt, is_over) + std::erase_if(retired_.wit, is_over) > 0;
}

Result<Bundle> IntermediateKeeper::WithRetiredKeys(const Bundle& bundle) const {
  TokenAuthorities keys{.jwt = bundle.jwt_authorities(), .wit = bundle.wit_authorities()};
  // One that has come back signs, and is in the bundle already.
  for (const JwtAuthority& former : retired_.jwt) {
    if (bundle.FindJwtAuthority(former.key_id()) == nullptr) keys.jwt.push_back(former);
  }
  for (const JwtAuthority& former : retired_.wit) {
    if (bundle.FindWitAuthority(former.key_id()) == nullptr) keys.wit.push_back(former);
  }
  return Bundle::Create(bundle.trust_domain(), bundle.x509_authorities(), {}, std::move(keys));
}

void IntermediateKeeper::SetAlarm() {
  alarm_ = clock_.CallAfter(kLookAgain, [this] {
    if (DropRetiredKeys()) Take(*given_);
    ReportHealth();
    if (!last_failure_.ok())
      Reload();  // a fault that no event announces the end of, such as a permission above the directory
    SetAlarm();
  });
}

void IntermediateKeeper::ReportHealth() {
  const WallTime now = clock_.WallNow();
  const Issuer& issuer = given_->issuer;
  const WallTime end = issuer.not_after();
  const auto life = end - issuer.certificate().not_before();
  HealthReport report{HealthLevel::kGood, fmt::format("The given issuer signs until {}.", Utc(end))};
  if (now < issuer.certificate().not_before()) {
    report = {HealthLevel::kBroken,
              fmt::format("By the wall clock the given issuer begins only on {}; check the clock.",
                          Utc(issuer.certificate().not_before()))};
  } else if (end <= now) {
    report = {HealthLevel::kBroken,
              fmt::format("The given issuer has expired on {}; replace {}.", Utc(end), options_.given->issuer_cert)};
  } else if (end - now < life / kWarnFraction) {
    report = {HealthLevel::kDegraded, fmt::format("The given issuer signs only until {}; replace {} before.", Utc(end),
                                                  options_.given->issuer_cert)};
  }
  if (given_->tokens.jwt) {
    report.text += fmt::format(" Tokens are signed by the key {}.", given_->tokens.jwt->authority().key_id());
  } else {
    report.text += fmt::format(" JWT-SVIDs and WIT-SVIDs are not issued: {}.", given_->tokens.why_none);
  }
  if (!last_failure_.ok()) {
    if (report.level == HealthLevel::kGood) report.level = HealthLevel::kDegraded;
    report.text += fmt::format(" The files were changed, but are not usable: {}.", Message(last_failure_));
  }
  if (watcher_ && !watcher_->health().ok()) {
    if (report.level == HealthLevel::kGood) report.level = HealthLevel::kDegraded;
    report.text += fmt::format(" Changes of the files may go unseen: {}.", Message(watcher_->health()));
  }
  ca_.SetHealth(std::move(report));
}

}  // namespace lanyard
