#include "node_agent/identity/crl_keeper.h"

#include <algorithm>
#include <utility>

#include "node_agent/base/log.h"
#include "node_agent/identity/disk_patience.h"
#include "node_agent/identity/text.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

constexpr seconds kLookAgain{1};                    // the wall clock may have been set; a look costs a few comparisons
constexpr seconds kShortestPause{1};                // between two lists of one CA
constexpr seconds kTryAgain{2};                     // after a failure
constexpr std::chrono::hours kKeepExpired{24 * 7};  // as the state store does: the wall clock may be wrong

}  // namespace

struct CrlKeeper::Authority {
  Authority(Issuer with, std::string key_id) : issuer(std::move(with)), id(std::move(key_id)) {}

  bool may_sign() const { return CheckMaySignCrls(issuer.certificate()).ok(); }

  Issuer issuer;
  std::string id;        // as in the state store
  bool key_here = true;  // false: the last list stays as it is
  std::optional<Crl> crl;
  WallTime signed_at;
  bool stale = true;  // what is revoked has changed since
  MonoTime not_before;
  Status failure;  // of the last attempt
  WallTime failing_since;
};

Result<std::unique_ptr<CrlKeeper>> CrlKeeper::Start(CrlOptions options, IdentitySource& source, Issuers issuers,
                                                    const RevocationState& at_start, StateStore& state, EventLoop& loop,
                                                    Clock& clock) {
  std::unique_ptr<CrlKeeper> keeper(new CrlKeeper(source, std::move(issuers), at_start, state, loop, clock));
  const std::shared_ptr<const Bundle> bundle = source.bundle();
  if (!options.issuer_root_crl.empty() && bundle != nullptr && !keeper->issuers_().empty()) {
    ASSIGN_OR_RETURN(keeper->above_, IssuerRootCrl::Start(options.issuer_root_crl, keeper->issuers_().front(), *bundle,
                                                          loop, clock, [raw = keeper.get()] {
                                                            raw->unpublished_ = true;
                                                            raw->Look();
                                                          }));
  }
  keeper->TakeAuthorities();
  return keeper;
}

CrlKeeper::CrlKeeper(IdentitySource& source, Issuers issuers, const RevocationState& at_start, StateStore& state,
                     EventLoop& loop, Clock& clock)
    : source_(source),
      issuers_(std::move(issuers)),
      state_(state),
      loop_(loop),
      clock_(clock),
      numbers_(at_start.crl_numbers) {
  for (const RevokedSerial& revoked : at_start.revoked) revoked_[revoked.authority].emplace(revoked.serial, revoked);
  const auto follow = [this, alive = std::weak_ptr<void>(alive_)] {
    if (!alive.expired()) TakeAuthorities();
  };
  source.OnBundleChange(follow);
  source.OnSignerChange(follow);
}

CrlKeeper::~CrlKeeper() = default;

Result<CrlSetPtr> CrlKeeper::Current() const {
  if (!settled_) return CrlSetPtr();
  if (set_ != nullptr) return set_;
  return Error(StatusCode::kUnavailable, "there is no revocation list to hand out: {}", health().text);
}

void CrlKeeper::Revoke(RevokedSerial revoked, Done done) {
  const auto [found, added] = revoked_[revoked.authority].emplace(revoked.serial, revoked);
  for (const AuthorityPtr& authority : authorities_) authority->stale |= added && authority->id == revoked.authority;
  state_.RecordRevoked(std::move(revoked), std::move(done));
  Look();
}

void CrlKeeper::Reload() {
  if (above_ != nullptr) above_->Reload();
}

bool CrlKeeper::InBundle(const Certificate& certificate) const {
  const std::shared_ptr<const Bundle> bundle = source_.bundle();
  if (bundle == nullptr) return false;
  const auto& roots = bundle->x509_authorities();
  return std::find(roots.begin(), roots.end(), certificate) != roots.end();
}

// By key: an issuer whose certificate was renewed is the same CA to everybody who has its lists.
CrlKeeper::AuthorityPtr CrlKeeper::Find(const Certificate& certificate) const {
  for (const AuthorityPtr& authority : authorities_) {
    const Certificate& known = authority->issuer.certificate();
    if (known.spki_der() == certificate.spki_der() && known.subject_der() == certificate.subject_der())
      return authority;
  }
  return nullptr;
}

void CrlKeeper::TakeAuthorities() {
  std::vector<AuthorityPtr> now;
  const std::vector<Issuer> issuers = issuers_();
  for (const Issuer& issuer : issuers) {
    AuthorityPtr authority = Find(issuer.certificate());
    if (authority == nullptr) authority = std::make_shared<Authority>(issuer, KeyIdHex(issuer.certificate()));
    // The key identifier may be another one
    authority->stale |= !(authority->issuer.certificate() == issuer.certificate());
    authority->issuer = issuer;
    authority->id = KeyIdHex(issuer.certificate());
    authority->key_here = true;
    now.push_back(std::move(authority));
  }
  for (const AuthorityPtr& former : authorities_) {
    if (std::find(now.begin(), now.end(), former) != now.end() || !former->crl) continue;
    const Certificate& certificate = former->issuer.certificate();
    if (certificate.self_issued() && !InBundle(certificate)) continue;
    former->key_here = false;
    now.push_back(former);
  }
  authorities_ = std::move(now);
  unpublished_ = true;
  settled_ = settled_ && std::all_of(authorities_.begin(), authorities_.end(), [](const AuthorityPtr& authority) {
               return authority->crl.has_value() || !authority->may_sign();
             });
  const std::shared_ptr<const Bundle> bundle = source_.bundle();
  if (above_ != nullptr && bundle != nullptr && !issuers.empty()) above_->SetChain(issuers.front(), *bundle);
  Look();
}

void CrlKeeper::Look() {
  alarm_ = clock_.CallAfter(kLookAgain, [this] { Look(); });
  if (signing_ > 0) return;  // and again when that is done
  DropEnded();
  for (const AuthorityPtr& authority : authorities_) {
    if (IsDue(*authority)) Sign(authority);
  }
  if (signing_ == 0 && (unpublished_ || !settled_)) Publish();
}

bool CrlKeeper::IsDue(const Authority& authority) const {
  if (!authority.key_here || !authority.may_sign() || clock_.MonoNow() < authority.not_before) return false;
  if (!authority.crl || authority.stale) return true;
  const WallTime now = clock_.WallNow();
  // The second: the wall clock was set back, and to verifiers with that clock the list is not there yet
  return authority.signed_at + kCrlRefresh <= now || now < authority.crl->this_update();
}

CrlContent CrlKeeper::ContentFor(const Authority& authority, WallTime now) {
  const auto backdated = std::chrono::floor<seconds>(now - kCrlBackdate);
  CrlContent content{.number = 0, .this_update = backdated, .next_update = now + kCrlLife, .revoked = {}};
  // Of two lists of one CA verifiers take that with the later thisUpdate, so it rises, as far as the clock lets it.
  if (authority.crl && backdated <= authority.crl->this_update() && authority.crl->this_update() + seconds(1) <= now)
    content.this_update = authority.crl->this_update() + seconds(1);
  const auto since_1970 = std::chrono::floor<seconds>(now.time_since_epoch()).count();
  std::uint64_t& number = numbers_[authority.id];
  content.number = number = std::max(number + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(since_1970, 0)));
  auto& revoked = revoked_[authority.id];
  std::erase_if(revoked, [now](const auto& one) { return one.second.not_after + kKeepExpired < now; });
  content.revoked.reserve(revoked.size());
  for (const auto& [serial, one] : revoked)
    content.revoked.push_back({.serial_hex = serial, .revoked_at = one.revoked_at, .not_after = one.not_after});
  return content;
}

void CrlKeeper::Sign(const AuthorityPtr& authority) {
  ++signing_;
  authority->stale = false;
  authority->not_before = clock_.MonoNow() + kShortestPause;
  const WallTime now = clock_.WallNow();
  CrlContent content = ContentFor(*authority, now);
  const std::uint64_t number = content.number;
  state_.UseCrlNumber(authority->id, number,
                      WithinDiskPatience(clock_, [this, alive = std::weak_ptr<void>(alive_), authority, now,
                                                  content = std::move(content)](Status used) mutable {
                        if (alive.expired()) return;
                        if (!used.ok()) return OnSigned(*authority, now, Annotate(used, "put its number on record"));
                        loop_.ComputeInPool([issuer = authority->issuer,
                                             content = std::move(content)] { return issuer.SignCrl(content); },
                                            [this, alive = std::move(alive), authority, now](Result<Crl> crl) {
                                              if (!alive.expired()) OnSigned(*authority, now, std::move(crl));
                                            });
                      }));
}

void CrlKeeper::OnSigned(Authority& authority, WallTime when, Result<Crl> crl) {
  if (crl.ok()) {
    if (!authority.failure.ok()) LANYARD_LOG_INFO("revocation list of {}: it is signed again", authority.id);
    authority.failure = OkStatus();
    authority.crl = *std::move(crl);
    unpublished_ = true;
    authority.signed_at = when;
  } else {
    if (authority.failure.ok()) {
      LANYARD_LOG_ERROR("revocation list of {}: {}", authority.id, Message(crl.status()));
      authority.failing_since = clock_.WallNow();
    }
    authority.failure = crl.status();
    authority.stale = true;
    authority.not_before = clock_.MonoNow() + kTryAgain;
  }
  if (--signing_ == 0) Look();
}

void CrlKeeper::DropEnded() {
  const WallTime now = clock_.WallNow();
  const std::size_t ended = std::erase_if(authorities_, [now](const AuthorityPtr& authority) {
    return !authority->key_here &&
           (authority->crl->next_update() <= now || authority->issuer.certificate().not_after() <= now);
  });
  if (ended > 0) unpublished_ = true;
}

// Never two lists of one CA: verifiers take either. Whoever signed here once and is above the issuer now has its list
// in the file.
bool CrlKeeper::IsAbove(const Authority& authority) const {
  if (authority.key_here || above_ == nullptr) return false;
  const std::vector<Crl>& lists = above_->lists();
  return std::any_of(lists.begin(), lists.end(),
                     [&](const Crl& list) { return list.CheckSignedBy(authority.issuer.certificate()).ok(); });
}

void CrlKeeper::Publish() {
  unpublished_ = false;
  std::vector<std::string> lists;
  // Lists of some CAs of a chain are worse than none: verifiers would refuse everybody. So where one of ours may not
  // sign any, none is handed out, and health() says so.
  const bool some_may_not = std::any_of(authorities_.begin(), authorities_.end(),
                                        [](const AuthorityPtr& authority) { return !authority->may_sign(); });
  if (!some_may_not) {
    for (const AuthorityPtr& authority : authorities_) {
      if (authority->crl && !IsAbove(*authority)) lists.push_back(authority->crl->der());
    }
    const bool ours = !lists.empty();
    if (ours && above_ != nullptr) {
      for (const Crl& list : above_->lists()) lists.push_back(list.der());
    }
  }
  bool changed = !std::exchange(settled_, true);
  const bool none_signed = lists.empty() && !some_may_not && !authorities_.empty();
  if (!none_signed && (set_ == nullptr || set_->lists != lists)) {
    handed_out_ |= !lists.empty();
    set_ = std::make_shared<const CrlSet>(CrlSet{set_ == nullptr ? 1 : set_->version + 1, std::move(lists)});
    changed = true;
  }
  if (!changed) return;
  const std::weak_ptr<void> alive = alive_;
  for (std::size_t i = 0; i < listeners_.size() && !alive.expired(); ++i) listeners_[i]();
}

CrlStats CrlKeeper::stats() const {
  CrlStats stats;
  const auto count = [&stats](const Crl& crl) {
    const WallTime end = crl.next_update();
    stats.earliest_next_update = stats.earliest_next_update ? std::min(*stats.earliest_next_update, end) : end;
  };
  for (const AuthorityPtr& authority : authorities_) {
    if (!authority->crl) continue;
    count(*authority->crl);
    stats.entries += authority->crl->fields().entries.size();
  }
  if (above_ != nullptr) {
    for (const Crl& list : above_->lists()) count(list);
  }
  return stats;
}

HealthReport CrlKeeper::health() const {
  HealthReport worst{HealthLevel::kGood, ""};
  const auto add = [&worst](HealthReport report) {
    if (report.level == HealthLevel::kGood) return;
    worst.text += fmt::format("{}{}", worst.text.empty() ? "" : " ", report.text);
    worst.level = std::max(worst.level, report.level);
  };
  const WallTime now = clock_.WallNow();
  for (const AuthorityPtr& authority : authorities_) {
    const auto& crl = authority->crl;
    if (!authority->may_sign()) {
      const std::string_view effect = handed_out_ ? "that have had a list refuse everybody until they are restarted"
                                                  : "are not told what was revoked";
      add({handed_out_ ? HealthLevel::kBroken : HealthLevel::kDegraded,
           fmt::format("The certificate of {} has no key usage cRLSign, so there is no revocation list: verifiers {}.",
                       authority->id, effect)});
    } else if (!authority->failure.ok()) {
      const bool over = !crl || crl->next_update() <= now;
      const auto& known = revoked_.find(authority->id);
      const bool missing = crl && known != revoked_.end() &&
                           std::any_of(known->second.begin(), known->second.end(), [&](const auto& one) {
                             return authority->signed_at < one.second.revoked_at && now < one.second.not_after;
                           });
      add({over || missing ? HealthLevel::kBroken : HealthLevel::kDegraded,
           fmt::format("The revocation list of {} could not be signed since {}: {}. {}", authority->id,
                       Utc(authority->failing_since), Message(authority->failure),
                       over      ? "Verifiers that check lists refuse what it has signed."
                       : missing ? "What was revoked since then is still accepted."
                                 : fmt::format("The last one counts until {}.", Utc(crl->next_update())))});
    }
  }
  if (above_ != nullptr) add(above_->health());
  return worst;
}

}  // namespace lanyard
