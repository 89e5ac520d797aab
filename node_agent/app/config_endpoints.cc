#include "node_agent/app/config_endpoints.h"

#include <string>

namespace lanyard {
namespace {

// Empty: off.
Result<std::optional<HttpAddress>> ReadAddress(const YamlNode& node) {
  ASSIGN_OR_RETURN(const std::string text, node.AsString());
  if (text.empty()) return std::optional<HttpAddress>();
  Result<HttpAddress> address = ParseHttpAddress(text);
  if (!address.ok()) return node.At(address.status());
  return std::optional<HttpAddress>(*std::move(address));
}

}  // namespace

EndpointsConfig ReadEndpoints(const YamlNode& node, YamlErrors& errors) {
  EndpointsConfig endpoints;
  const auto read = [&](std::string_view key, std::optional<HttpAddress>& target) {
    const YamlNode* address = node.Find(key);
    if (address == nullptr) return;
    if (auto value = errors.Take(ReadAddress(*address))) target = *std::move(value);
  };
  errors.Add(node.RequireKnownKeys({"metrics", "health"}, {"authzen", "ext_authz", "bundle", "broker"}));
  read("metrics", endpoints.metrics);
  read("health", endpoints.health);
  return endpoints;
}

}  // namespace lanyard
