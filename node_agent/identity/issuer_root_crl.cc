#include "node_agent/identity/issuer_root_crl.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/file_trust.h"
#include "node_agent/base/log.h"
#include "node_agent/base/utc.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr std::size_t kMaxFileBytes = std::size_t{8} * 1024 * 1024;
constexpr seconds kLookAgain{5};
constexpr int kWarnFraction = 6;  // of a list's life: said in health when only that much is left

Result<std::vector<Crl>> ReadLists(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadTrustedFile(path, kMaxFileBytes, FileSecrecy::kPublic));
  if (bytes.find("-----BEGIN") != std::string::npos) return Crl::ListFromPem(bytes);
  ASSIGN_OR_RETURN(Crl one, Crl::FromDer(bytes));
  return std::vector<Crl>{std::move(one)};
}

// Who may have signed a list of the file: every CA above the issuer, but not the issuer, whose list we sign.
std::vector<Certificate> CasAbove(const Issuer& issuer, const Bundle& upstream_roots) {
  std::vector<Certificate> above = issuer.chain_tail();
  above.insert(above.end(), upstream_roots.x509_authorities().begin(), upstream_roots.x509_authorities().end());
  std::erase(above, issuer.certificate());
  return above;
}

Result<Certificate> SignerOf(const Crl& crl, const Issuer& issuer, const std::vector<Certificate>& above) {
  Status why = Error(StatusCode::kUnauthenticated, "there is no CA above the issuer");
  for (const Certificate& ca : above) {
    const Status checked = crl.CheckSignedBy(ca);
    if (checked.ok()) return ca;
    // The reason that says most: that of a CA with the right name
    if (crl.fields().issuer_der == ca.subject_der() || above.size() == 1) why = checked;
  }
  if (crl.CheckSignedBy(issuer.certificate()).ok())
    return Error(StatusCode::kInvalidArgument, "it is of the issuer itself, whose list is signed here");
  return Annotate(why, "it is of none of the CAs above the issuer");
}

Status CheckDates(const Crl& crl, WallTime now) {
  if (now < crl.this_update())
    return Error(StatusCode::kFailedPrecondition, "it begins only on {}", Utc(crl.this_update()));
  if (crl.next_update() <= now)
    return Error(StatusCode::kFailedPrecondition, "it has expired on {}; put a newer one in its place",
                 Utc(crl.next_update()));
  return OkStatus();
}

}  // namespace

Result<std::vector<Crl>> LoadIssuerRootCrl(const std::string& path, const Issuer& issuer, const Bundle& upstream_roots,
                                           WallTime now) {
  auto lists = ReadLists(path);
  if (!lists.ok()) return Annotate(lists.status(), "issuer_root_crl {}", path);
  const std::vector<Certificate> above = CasAbove(issuer, upstream_roots);
  std::vector<Certificate> signers;
  for (std::size_t i = 0; i < lists->size(); ++i) {
    const auto failed = [&](const Status& why) { return Annotate(why, "issuer_root_crl {}: list {}", path, i + 1); };
    const auto signer = SignerOf((*lists)[i], issuer, above);
    if (!signer.ok()) return failed(signer.status());
    if (std::find(signers.begin(), signers.end(), *signer) != signers.end())
      return failed(Error(StatusCode::kInvalidArgument, "it is the second of one CA; verifiers would take either"));
    signers.push_back(*signer);
    if (const Status dates = CheckDates((*lists)[i], now); !dates.ok()) return failed(dates);
  }
  for (const Certificate& certificate : issuer.chain_tail()) {
    const bool covered = std::any_of(signers.begin(), signers.end(), [&](const Certificate& signer) {
      return certificate.issuer_der() == signer.subject_der() && certificate.SignedBy(signer);
    });
    if (!covered) {
      return Error(StatusCode::kFailedPrecondition,
                   "issuer_root_crl {}: no list in it is of the CA that certified serial {}; a verifier wants one of "
                   "each CA of the chain",
                   path, certificate.serial_hex());
    }
  }
  return lists;
}

Result<std::unique_ptr<IssuerRootCrl>> IssuerRootCrl::Start(std::string path, Issuer issuer, Bundle upstream_roots,
                                                            EventLoop& loop, Clock& clock,
                                                            absl::AnyInvocable<void()> on_change) {
  std::unique_ptr<IssuerRootCrl> made(new IssuerRootCrl(std::move(path), std::move(issuer), std::move(upstream_roots),
                                                        loop, clock, std::move(on_change)));
  // Watched before it is read: a change in between is seen.
  ASSIGN_OR_RETURN(made->watcher_, WatchPaths(loop, clock, {made->path_}, [raw = made.get()] { raw->Reload(); }));
  auto loaded = LoadIssuerRootCrl(made->path_, made->issuer_, made->upstream_roots_, clock.WallNow());
  if (loaded.ok()) {
    made->lists_ = *std::move(loaded);
  } else {
    made->failure_ = loaded.status();
    LANYARD_LOG_ERROR("{}", Message(loaded.status()));
  }
  made->SetAlarm();
  return made;
}

IssuerRootCrl::IssuerRootCrl(std::string path, Issuer issuer, Bundle upstream_roots, EventLoop& loop, Clock& clock,
                             absl::AnyInvocable<void()> on_change)
    : path_(std::move(path)),
      issuer_(std::move(issuer)),
      upstream_roots_(std::move(upstream_roots)),
      loop_(loop),
      clock_(clock),
      on_change_(std::move(on_change)) {}

void IssuerRootCrl::SetChain(Issuer issuer, Bundle upstream_roots) {
  issuer_ = std::move(issuer);
  upstream_roots_ = std::move(upstream_roots);
  Reload();
}

void IssuerRootCrl::Reload() {
  if (loading_) {
    load_again_ = true;
    return;
  }
  loading_ = true;
  loop_.ComputeInPool([path = path_, issuer = issuer_, roots = upstream_roots_,
                       now = clock_.WallNow()] { return LoadIssuerRootCrl(path, issuer, roots, now); },
                      [this, alive = std::weak_ptr<void>(alive_)](Result<std::vector<Crl>> loaded) {
                        if (!alive.expired()) OnLoaded(std::move(loaded));
                      });
}

void IssuerRootCrl::OnLoaded(Result<std::vector<Crl>> loaded) {
  loading_ = false;
  if (!loaded.ok()) {
    if (Message(failure_) != Message(loaded.status())) {
      LANYARD_LOG_WARN("{}; {}", Message(loaded.status()),
                       lists_.empty() ? "there is none yet" : "the last good one stays in use");
    }
    failure_ = loaded.status();
  } else {
    if (*loaded != lists_ || !failure_.ok()) LANYARD_LOG_INFO("issuer_root_crl {}: read again", path_);
    failure_ = OkStatus();
    if (*loaded != lists_) {
      lists_ = *std::move(loaded);
      on_change_();
    }
  }
  if (std::exchange(load_again_, false)) Reload();
}

void IssuerRootCrl::SetAlarm() {
  alarm_ = clock_.CallAfter(kLookAgain, [this] {
    // What no event announces the end of, such as a list that begins later, or a permission above the directory.
    if (!failure_.ok()) Reload();
    SetAlarm();
  });
}

HealthReport IssuerRootCrl::health() const {
  const WallTime now = clock_.WallNow();
  HealthReport report;
  if (lists_.empty()) {
    return {HealthLevel::kBroken,
            fmt::format("There is no list of the CA above the issuer: verifiers that check every certificate of a "
                        "chain refuse everybody. {}.",
                        Message(failure_))};
  }
  for (const Crl& list : lists_) {
    const auto life = list.next_update() - list.this_update();
    if (list.next_update() <= now) {
      report = {HealthLevel::kBroken,
                fmt::format("The list in {} has expired on {}: verifiers that check it refuse everybody.", path_,
                            Utc(list.next_update()))};
    } else if (report.level == HealthLevel::kGood && list.next_update() - now < life / kWarnFraction) {
      report = {HealthLevel::kDegraded, fmt::format("The list in {} ends on {}; put a newer one in its place.", path_,
                                                    Utc(list.next_update()))};
    }
  }
  const auto add = [&report](std::string_view what, const Status& why) {
    if (why.ok()) return;
    if (report.level == HealthLevel::kGood) report.level = HealthLevel::kDegraded;
    report.text += fmt::format("{}{}: {}.", report.text.empty() ? "" : " ", what, Message(why));
  };
  add("The last good list is in use", failure_);
  add("Changes of the file may go unseen", watcher_->health());
  return report;
}

}  // namespace lanyard
