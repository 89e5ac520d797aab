// TrustDomain and SpiffeId: names that are known to be valid.
//
// The rules are those of SPIFFE-ID (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md), sections 2.1
// to 2.4. One identity has exactly one spelling: upper case in the scheme or the trust domain is refused, not folded.
// Section 2.4 calls both case-insensitive, but section 2.1 demands lower case of every valid ID, and an ID that
// compares equal to another without having the same bytes invites a policy that knows only one of the two.
//
// Thread: any; values.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

#include "node_agent/base/status.h"

namespace lanyard {

class TrustDomain {
 public:
  static constexpr std::size_t kMaxNameBytes = 255;  // SPIFFE-ID §2.3

  // From a bare name ("example.org") or from any SPIFFE ID of the domain ("spiffe://example.org/refund").
  static Result<TrustDomain> Parse(std::string_view name_or_id);

  const std::string& name() const { return name_; }
  std::string id() const { return "spiffe://" + name_; }

  friend bool operator==(const TrustDomain&, const TrustDomain&) = default;
  friend std::strong_ordering operator<=>(const TrustDomain&, const TrustDomain&) = default;

 private:
  friend class SpiffeId;
  explicit TrustDomain(std::string_view checked) : name_(checked) {}

  std::string name_;
};

class SpiffeId {
 public:
  static constexpr std::size_t kMaxBytes = 2048;  // SPIFFE-ID §2.3

  static Result<SpiffeId> Parse(std::string_view uri);
  // `path` is empty (the ID of the trust domain itself) or begins with '/'.
  static Result<SpiffeId> FromTrustDomainAndPath(const TrustDomain& trust_domain, std::string_view path);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  std::string_view path() const { return std::string_view(text_).substr(path_at_); }  // empty, or begins with '/'
  const std::string& str() const { return text_; }
  bool MemberOf(const TrustDomain& trust_domain) const { return trust_domain_ == trust_domain; }

  friend bool operator==(const SpiffeId& a, const SpiffeId& b) { return a.text_ == b.text_; }
  friend std::strong_ordering operator<=>(const SpiffeId& a, const SpiffeId& b) { return a.text_ <=> b.text_; }

 private:
  SpiffeId(TrustDomain trust_domain, std::string text, std::size_t path_at)
      : trust_domain_(std::move(trust_domain)), text_(std::move(text)), path_at_(path_at) {}

  TrustDomain trust_domain_;
  std::string text_;
  std::size_t path_at_;
};

std::ostream& operator<<(std::ostream& out, const TrustDomain& trust_domain);
std::ostream& operator<<(std::ostream& out, const SpiffeId& id);

}  // namespace lanyard

template <>
struct std::hash<lanyard::TrustDomain> {
  std::size_t operator()(const lanyard::TrustDomain& td) const noexcept { return std::hash<std::string>()(td.name()); }
};
template <>
struct std::hash<lanyard::SpiffeId> {
  std::size_t operator()(const lanyard::SpiffeId& id) const noexcept { return std::hash<std::string>()(id.str()); }
};
