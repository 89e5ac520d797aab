#include "node_agent/app/config_oidc.h"

#include <charconv>
#include <cstdint>

#include "pki/dns_name.h"

namespace lanyard {
namespace {

constexpr std::string_view kScheme = "https://";
constexpr std::size_t kLongestUrl = 2048;
constexpr std::string_view kPathBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";

bool IsPort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

std::string_view Authority(std::string_view issuer) {
  issuer.remove_prefix(kScheme.size());
  return issuer.substr(0, issuer.find('/'));
}

Status CheckAuthority(const YamlNode& node, std::string_view authority) {
  if (authority.find('@') != std::string_view::npos) return node.Fail("an issuer names no user");
  const std::size_t colon = authority.find(':');
  if (colon != std::string_view::npos && !IsPort(authority.substr(colon + 1)))
    return node.Fail("the port of an issuer is a number from 1 to 65535");
  return node.At(Annotate(CheckDnsName(authority.substr(0, colon)), "the host of an issuer"));
}

Status CheckPath(const YamlNode& node, std::string_view path) {
  if (path.find("/.well-known/") != std::string_view::npos)
    return node.Fail("leave /.well-known/openid-configuration out: verifiers put it behind the issuer");
  if (path.find_first_not_of(kPathBytes) != std::string_view::npos)
    return node.Fail("the path of an issuer consists of letters, digits and - . _ ~ only");
  while (!path.empty() && path != "/") {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty() || segment == "." || segment == "..")
      return node.Fail("the path of an issuer has no empty, . or .. segment");
    path.remove_prefix(segment.size());
  }
  return OkStatus();
}

}  // namespace

Result<std::string> ReadOidcIssuer(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string url, node.AsString());
  if (url.empty()) return url;
  if (!url.starts_with(kScheme) || url.find_first_of("?#") != std::string::npos || url.size() > kLongestUrl)
    return node.Fail("an issuer is an https URL without query and fragment, e.g. https://oidc.example.org");
  RETURN_IF_ERROR(CheckAuthority(node, Authority(url)));
  RETURN_IF_ERROR(CheckPath(node, OidcIssuerPath(url)));
  return url;
}

std::string_view OidcIssuerHost(std::string_view issuer) {
  const std::string_view authority = Authority(issuer);
  return authority.substr(0, authority.find(':'));
}

std::string_view OidcIssuerPath(std::string_view issuer) {
  issuer.remove_prefix(kScheme.size() + Authority(issuer).size());
  return issuer;
}

std::vector<std::string> OidcWarnings(const Config& config) {
  std::vector<std::string> warnings;
  const std::string& issuer = config.oidc.issuer;
  if (issuer.empty()) return warnings;
  const BundleEndpointConfig& bundle = config.endpoints.bundle;
  if (!bundle.address) {
    warnings.push_back(
        fmt::format("oidc.issuer is set and endpoints.bundle has no address: nothing is served for {}; set "
                    "endpoints.bundle, or publish the keys there yourself",
                    issuer));
  } else if (bundle.cert.empty()) {
    warnings.push_back(
        fmt::format("oidc.issuer is set and endpoints.bundle has no cert and key: the agent's X.509-SVID names no "
                    "host, so OpenID Connect libraries do not take it; set both, or let a proxy for {} end TLS",
                    OidcIssuerHost(issuer)));
  }
  if (config.embedded_ca.given && config.embedded_ca.given->jwt_authority_key.empty()) {
    warnings.push_back(
        "oidc.issuer is set and the given issuer has no jwt_authority_key: no JWT-SVIDs are issued, and there are no "
        "keys to discover");
  }
  return warnings;
}

}  // namespace lanyard
