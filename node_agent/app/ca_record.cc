#include "node_agent/app/ca_record.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

AuditRecord RecordOf(const AuthorityInfo& authority, std::string_view what) {
  const bool x509 = authority.kind == SvidKind::kX509;
  return {.kind = AuditKind::kCa,
          .reason = fmt::format("the authority{} is {} now",
                                x509 ? "" : fmt::format(" for {} SVIDs", SvidKindName(authority.kind)), what),
          .action = std::string(what),
          .resource = authority.file,
          .authority = authority.id,
          .not_after = authority.not_after};
}

const AuthorityInfo* FindIn(const std::vector<AuthorityInfo>& authorities, const std::string& id) {
  const auto found =
      std::find_if(authorities.begin(), authorities.end(), [&](const AuthorityInfo& info) { return info.id == id; });
  return found == authorities.end() ? nullptr : &*found;
}

}  // namespace

CaRecord::CaRecord(CaKeeper& ca, AuditLog& audit) : ca_(ca), audit_(audit) {
  Compare();
  ca_.source().OnBundleChange([this] { Compare(); });
  ca_.source().OnSignerChange([this] { Compare(); });
  ca_.source().OnTokenSignerChange([this] { Compare(); });
}

void CaRecord::Compare() {
  std::vector<AuthorityInfo> now = ca_.Show();
  for (const AuthorityInfo& authority : now) {
    const AuthorityInfo* before = FindIn(known_, authority.id);
    if (before != nullptr && before->phase == authority.phase) continue;
    audit_.Append(RecordOf(authority, AuthorityPhaseName(authority.phase)), nullptr, AuditSpace::kReserve);
  }
  for (const AuthorityInfo& authority : known_) {
    if (FindIn(now, authority.id) == nullptr)
      audit_.Append(RecordOf(authority, "removed"), nullptr, AuditSpace::kReserve);
  }
  known_ = std::move(now);
}

}  // namespace lanyard
