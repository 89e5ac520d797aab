#include "pki/spiffe_id.h"

#include <ostream>

namespace lanyard {
namespace {

constexpr std::string_view kScheme = "spiffe://";

bool IsTrustDomainByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool IsPathByte(char c) {
  return IsTrustDomainByte(c) || (c >= 'A' && c <= 'Z');
}

// A byte of hostile input for a message: printable as itself, anything else as hex.
std::string Show(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7f ? fmt::format("'{}'", c) : fmt::format("byte 0x{:02x}", byte);
}

Status CheckTrustDomainName(std::string_view name) {
  // SPIFFE-ID §2.1: the host part is not empty
  if (name.empty()) return Error(StatusCode::kInvalidArgument, "trust domain is empty");
  // SPIFFE-ID §2.3: at most 255 bytes
  if (name.size() > TrustDomain::kMaxNameBytes) {
    return Error(StatusCode::kInvalidArgument, "trust domain has {} bytes, at most {} are allowed", name.size(),
                 TrustDomain::kMaxNameBytes);
  }
  for (const char c : name) {
    // SPIFFE-ID §2.1: only a-z, 0-9, '.', '-' and '_'; this also rules out user, port, IPv6 and percent-encoding
    if (!IsTrustDomainByte(c)) {
      return Error(StatusCode::kInvalidArgument,
                   "trust domain contains {}; only lower-case letters, digits, '.', '-' and '_' are allowed", Show(c));
    }
  }
  return OkStatus();
}

Status CheckPath(std::string_view path) {
  if (path.empty()) return OkStatus();
  if (path.front() != '/') return Error(StatusCode::kInvalidArgument, "path does not begin with '/'");
  // SPIFFE-ID §2.2: no trailing slash (a lone "/" is one, too)
  if (path.back() == '/') return Error(StatusCode::kInvalidArgument, "path ends with '/'");
  std::string_view rest = path.substr(1);
  while (true) {
    const std::string_view segment = rest.substr(0, rest.find('/'));
    // SPIFFE-ID §2.2: no empty segments and no relative ones
    if (segment.empty()) return Error(StatusCode::kInvalidArgument, "path has an empty segment");
    if (segment == "." || segment == "..") {
      return Error(StatusCode::kInvalidArgument, "path has the relative segment '{}'", segment);
    }
    for (const char c : segment) {
      // SPIFFE-ID §2.2: only letters, digits, '.', '-' and '_'; §2: neither query nor fragment
      if (!IsPathByte(c)) {
        return Error(StatusCode::kInvalidArgument,
                     "path contains {}; only letters, digits, '.', '-' and '_' are allowed in its segments", Show(c));
      }
    }
    if (segment.size() == rest.size()) return OkStatus();
    rest.remove_prefix(segment.size() + 1);
  }
}

}  // namespace

Result<TrustDomain> TrustDomain::Parse(std::string_view name_or_id) {
  // A ':' cannot be in a name, so this is meant as an ID and must be a whole valid one
  if (name_or_id.find(':') != std::string_view::npos) {
    ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Parse(name_or_id));
    return id.trust_domain();
  }
  RETURN_IF_ERROR(CheckTrustDomainName(name_or_id));
  return TrustDomain(name_or_id);
}

Result<SpiffeId> SpiffeId::Parse(std::string_view uri) {
  // SPIFFE-ID §2.3 lets implementations stop at 2048 bytes
  if (uri.size() > kMaxBytes) {
    return Error(StatusCode::kInvalidArgument, "SPIFFE ID has {} bytes, at most {} are allowed", uri.size(), kMaxBytes);
  }
  // SPIFFE-ID §2: the scheme is "spiffe"
  if (uri.substr(0, kScheme.size()) != kScheme) {
    return Error(StatusCode::kInvalidArgument, "SPIFFE ID does not begin with \"{}\"", kScheme);
  }
  const std::size_t path_at = std::min(uri.find('/', kScheme.size()), uri.size());
  const std::string_view name = uri.substr(kScheme.size(), path_at - kScheme.size());
  RETURN_IF_ERROR(Annotate(CheckTrustDomainName(name), "SPIFFE ID"));
  RETURN_IF_ERROR(Annotate(CheckPath(uri.substr(path_at)), "SPIFFE ID"));
  return SpiffeId(TrustDomain(name), std::string(uri), path_at);
}

Result<SpiffeId> SpiffeId::FromTrustDomainAndPath(const TrustDomain& trust_domain, std::string_view path) {
  RETURN_IF_ERROR(Annotate(CheckPath(path), "SPIFFE ID"));
  std::string text = trust_domain.id();
  const std::size_t path_at = text.size();
  if (path_at + path.size() > kMaxBytes) {
    return Error(StatusCode::kInvalidArgument, "SPIFFE ID has {} bytes, at most {} are allowed", path_at + path.size(),
                 kMaxBytes);
  }
  text += path;
  return SpiffeId(trust_domain, std::move(text), path_at);
}

std::ostream& operator<<(std::ostream& out, const TrustDomain& trust_domain) {
  return out << trust_domain.name();
}
std::ostream& operator<<(std::ostream& out, const SpiffeId& id) {
  return out << id.str();
}

}  // namespace lanyard
