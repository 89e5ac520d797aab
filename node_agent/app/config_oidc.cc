#include "node_agent/app/config_oidc.h"

#include <algorithm>
#include <string_view>

namespace lanyard {
namespace {

constexpr std::string_view kScheme = "https://";
constexpr std::size_t kLongestUrl = 2048;

}  // namespace

Result<std::string> ReadOidcIssuer(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string url, node.AsString());
  if (url.empty()) return url;
  const bool printable = std::all_of(url.begin(), url.end(), [](char c) { return '!' <= c && c <= '~'; });
  if (!printable || !url.starts_with(kScheme) || url.size() == kScheme.size() || url.size() > kLongestUrl ||
      url.find_first_of("?#") != std::string::npos) {
    return node.Fail("an issuer is an https URL without query and fragment, e.g. https://oidc.example.org");
  }
  return url;
}

}  // namespace lanyard
