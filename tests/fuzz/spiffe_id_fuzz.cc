// A SPIFFE ID, a trust domain and a DNS name are accepted exactly when the standard's rules, written down here a second
// time and in another way, allow them; what is accepted says what was written, and what is refused has a reason.
#include <vector>

#include "pki/dns_name.h"
#include "pki/spiffe_id.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz0123456789_-";
constexpr std::string_view kName = "abcdefghijklmnopqrstuvwxyz0123456789._-";
constexpr std::string_view kSegment = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

bool Only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find(separator);
    pieces.push_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 1);
  }
  return pieces;
}

// SPIFFE-ID §2.1, §2.3
bool IsTrustDomain(std::string_view name) {
  return !name.empty() && name.size() <= 255 && Only(name, kName);
}

// SPIFFE-ID §2: "spiffe:", nothing, the trust domain, and then segments, all with a slash between them
bool IsSpiffeId(std::string_view text) {
  if (text.size() > 2048) return false;
  const auto pieces = Split(text, '/');
  if (pieces.size() < 3 || pieces[0] != "spiffe:" || !pieces[1].empty() || !IsTrustDomain(pieces[2])) return false;
  return std::all_of(pieces.begin() + 3, pieces.end(), [](std::string_view segment) {
    return !segment.empty() && segment != "." && segment != ".." && Only(segment, kSegment);
  });
}

// RFC 1034 §3.5, with underscores
bool IsDnsName(std::string_view text) {
  const auto labels = Split(text, '.');
  return text.size() <= 253 && std::all_of(labels.begin(), labels.end(), [](std::string_view label) {
           return !label.empty() && label.size() <= 63 && Only(label, kLower) && label.front() != '-' &&
                  label.back() != '-';
         });
}

void CheckId(std::string_view text) {
  const auto id = SpiffeId::Parse(text);
  Require(id.ok() == IsSpiffeId(text));
  if (!id.ok()) return RequireTold(id.status(), StatusCode::kInvalidArgument);
  Require(id->str() == text);
  Require(id->trust_domain().name() == Split(text, '/')[2] && id->MemberOf(id->trust_domain()));
  Require(id->trust_domain().id() + std::string(id->path()) == text);
  const auto again = SpiffeId::Parse(id->str());
  Require(again.ok() && *again == *id && std::hash<SpiffeId>()(*again) == std::hash<SpiffeId>()(*id));
  const auto joined = SpiffeId::FromTrustDomainAndPath(id->trust_domain(), id->path());
  Require(joined.ok() && *joined == *id && joined->path() == id->path());
}

void CheckTrustDomain(std::string_view text) {
  const auto domain = TrustDomain::Parse(text);
  Require(domain.ok() == (IsTrustDomain(text) || IsSpiffeId(text)));
  if (!domain.ok()) return RequireTold(domain.status(), StatusCode::kInvalidArgument);
  Require(IsTrustDomain(domain->name()));
  const auto from_name = TrustDomain::Parse(domain->name()), from_id = TrustDomain::Parse(domain->id());
  Require(from_name.ok() && *from_name == *domain && from_id.ok() && *from_id == *domain);
}

void CheckPath(std::string_view path) {
  static const TrustDomain domain = TrustDomain::Parse("example.org").value();
  const auto id = SpiffeId::FromTrustDomainAndPath(domain, path);
  const std::string whole = domain.id() + std::string(path);
  Require(id.ok() == ((path.empty() || path.front() == '/') && IsSpiffeId(whole)));
  if (!id.ok()) return RequireTold(id.status(), StatusCode::kInvalidArgument);
  Require(id->str() == whole && id->path() == path && id->MemberOf(domain));
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const std::string_view text = AsText(data, size);
  CheckId(text);
  CheckId("spiffe://" + std::string(text));
  CheckTrustDomain(text);
  CheckPath(text);
  const Status dns = CheckDnsName(text);
  Require(dns.ok() == IsDnsName(text));
  if (!dns.ok()) RequireTold(dns, StatusCode::kInvalidArgument);
  return 0;
}
