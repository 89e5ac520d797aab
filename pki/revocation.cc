#include "pki/revocation.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace lanyard {

// A list that is ready to be asked.
struct RevocationLists::List {
  Crl crl;
  std::vector<std::string_view> serials;  // sorted; in crl
  // By whom the list was found to be signed, so that it need not be found out in each handshake again; nothing if its
  // issuer was not known.
  std::optional<Certificate> signer;

  explicit List(Crl list) : crl(std::move(list)) {
    serials.reserve(crl.fields().entries.size());
    for (const CrlFields::Entry& entry : crl.fields().entries) serials.push_back(entry.serial_hex);
    std::sort(serials.begin(), serials.end());
  }
  bool SignedBy(const Certificate& issuer) const {
    return (signer && *signer == issuer) || crl.CheckSignedBy(issuer).ok();
  }
  bool Names(const Certificate& certificate) const {
    return std::binary_search(serials.begin(), serials.end(), std::string_view(certificate.serial_hex()));
  }
};

RevocationLists RevocationLists::Next(std::vector<Crl> lists, const BundleSet& bundles,
                                      std::span<const X509Svid> own) const {
  std::vector<std::pair<TrustDomain, Certificate>> authorities;
  for (const auto& [trust_domain, bundle] : bundles.all()) {
    for (const Certificate& authority : bundle.x509_authorities()) authorities.emplace_back(trust_domain, authority);
  }
  for (const X509Svid& svid : own) {
    for (const Certificate& intermediate : std::span(svid.chain()).subspan(1))
      authorities.emplace_back(svid.id().trust_domain(), intermediate);
  }

  RevocationLists next;
  next.seen_ = seen_;
  next.covered_ = covered_;
  for (Crl& crl : lists) {
    next.seen_.emplace(crl.fields().issuer_der, crl.fields().authority_key_id);
    auto list = std::make_shared<List>(std::move(crl));
    for (const auto& [trust_domain, authority] : authorities) {
      if (list->crl.CheckSignedBy(authority).ok()) list->signer = authority;
    }
    next.lists_.emplace(list->crl.fields().issuer_der, std::move(list));
  }
  for (const auto& [trust_domain, authority] : authorities) {
    if (next.HadListOf(authority)) next.covered_.insert(trust_domain);
  }
  return next;
}

// Judged by name and key identifier alone: a list that is forged or broken may make this stricter, never laxer.
bool RevocationLists::HadListOf(const Certificate& ca) const {
  for (auto at = seen_.lower_bound({ca.subject_der(), ""}); at != seen_.end() && at->first == ca.subject_der(); ++at) {
    if (at->second.empty() || ca.subject_key_id().empty() || at->second == ca.subject_key_id()) return true;
  }
  return false;
}

Status RevocationLists::CheckOne(const Certificate& certificate, const Certificate& issuer,
                                 std::chrono::system_clock::time_point now) const {
  const auto refused = [](std::string_view why) { return Error(StatusCode::kUnauthenticated, "{}", why); };
  std::string_view missing = "there is no revocation list of its issuer any more";
  bool current = false;
  const auto [begin, end] = lists_.equal_range(issuer.subject_der());
  for (auto at = begin; at != end; ++at) {
    const List& list = *at->second;
    if (!list.SignedBy(issuer)) continue;
    // Of several lists each is believed: the issuer signed it, and it is in force
    if (now >= list.crl.next_update()) {
      missing = "the revocation list of its issuer is over";
    } else if (now < list.crl.this_update()) {
      missing = "the revocation list of its issuer is not valid yet";
    } else if (list.Names(certificate)) {
      return refused("it is revoked");
    } else {
      current = true;
    }
  }
  return current ? OkStatus() : refused(missing);
}

Status RevocationLists::Check(const TrustDomain& trust_domain, std::span<const Certificate* const> path,
                              std::chrono::system_clock::time_point now) const {
  if (path.empty() || seen_.empty()) return OkStatus();
  const bool covered = Covers(trust_domain) || std::any_of(path.begin() + 1, path.end(),
                                                           [this](const Certificate* ca) { return HadListOf(*ca); });
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    const Certificate& issuer = *path[i + 1];
    if (!HadListOf(issuer) && !(covered && i == 0)) continue;
    RETURN_IF_ERROR(Annotate(CheckOne(*path[i], issuer, now), "certificate {} of the path", i));
  }
  return OkStatus();
}

}  // namespace lanyard
