#include "node_agent/identity/intermediate_keeper.h"

#include <utility>

#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/text.h"
#include "node_agent/state/secret_file.h"
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
  auto key_pem = ReadSecretFile(files.issuer_key, kMaxFileBytes);
  if (!key_pem.ok()) return Annotate(key_pem.status(), "issuer_key");
  auto key = PrivateKey::FromPem(key_pem->expose());
  if (!key.ok()) return Annotate(key.status(), "issuer_key {}", files.issuer_key);
  auto issuer = Issuer::Create(std::move(chain), *std::move(key));
  if (!issuer.ok())
    return Annotate(issuer.status(), "issuer_cert {} with issuer_key {}", files.issuer_cert, files.issuer_key);
  auto bundle = Bundle::Create(trust_domain, std::move(roots));
  if (!bundle.ok()) return Annotate(bundle.status(), "upstream_roots {}", files.upstream_roots);
  SigningState state{*std::move(issuer), *std::move(bundle)};
  RETURN_IF_ERROR(ProveChain(state, files, now));
  return state;
}

Result<std::unique_ptr<IntermediateKeeper>> IntermediateKeeper::Start(CaOptions options, EventLoop& loop,
                                                                      Clock& clock) {
  const GivenIssuer files = *options.given;
  std::unique_ptr<IntermediateKeeper> keeper(new IntermediateKeeper(std::move(options), loop, clock));
  // Watched before they are read: a change in between is seen.
  ASSIGN_OR_RETURN(keeper->watcher_,
                   WatchPaths(loop, clock, {files.issuer_cert, files.issuer_key, files.upstream_roots},
                              [raw = keeper.get()] { raw->Reload(); }));
  auto state = LoadGivenIssuer(files, keeper->options_.trust_domain, clock.WallNow());
  if (!state.ok()) return Annotate(state.status(), "load the given issuer");
  keeper->Take(*std::move(state));
  keeper->SetAlarm();
  return keeper;
}

IntermediateKeeper::IntermediateKeeper(CaOptions options, EventLoop& loop, Clock& clock)
    : options_(std::move(options)), loop_(loop), clock_(clock), ca_(loop, clock) {}

void IntermediateKeeper::Rotate(Done done) {
  loop_.Post([alive = std::weak_ptr<void>(alive_), done = std::move(done)]() mutable {
    if (alive.expired()) return;
    std::move(done)(
        Error(StatusCode::kFailedPrecondition,
              "the issuer is given by files and rotated by whoever issued it; replace issuer_cert and issuer_key"));
  });
}

std::vector<AuthorityInfo> IntermediateKeeper::Show() const {
  if (!issuer_) return {};
  return {DescribeIssuer(*issuer_, options_.given->issuer_cert)};
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
    const bool same = issuer_ && issuer_->certificate() == loaded->issuer.certificate() &&
                      issuer_->chain_tail() == loaded->issuer.chain_tail() &&
                      ca_.bundle()->SameAuthorities(loaded->bundle);
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
  issuer_ = state.issuer;
  ca_.Install(std::move(state));
  ReportHealth();
}

void IntermediateKeeper::SetAlarm() {
  alarm_ = clock_.CallAfter(kLookAgain, [this] {
    ReportHealth();
    if (!last_failure_.ok())
      Reload();  // a fault that no event announces the end of, such as a permission above the directory
    SetAlarm();
  });
}

void IntermediateKeeper::ReportHealth() {
  const WallTime now = clock_.WallNow();
  const WallTime end = issuer_->not_after();
  const auto life = end - issuer_->certificate().not_before();
  HealthReport report{HealthLevel::kGood, fmt::format("The given issuer signs until {}.", Utc(end))};
  if (now < issuer_->certificate().not_before()) {
    report = {HealthLevel::kBroken,
              fmt::format("By the wall clock the given issuer begins only on {}; check the clock.",
                          Utc(issuer_->certificate().not_before()))};
  } else if (end <= now) {
    report = {HealthLevel::kBroken,
              fmt::format("The given issuer has expired on {}; replace {}.", Utc(end), options_.given->issuer_cert)};
  } else if (end - now < life / kWarnFraction) {
    report = {HealthLevel::kDegraded, fmt::format("The given issuer signs only until {}; replace {} before.", Utc(end),
                                                  options_.given->issuer_cert)};
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
