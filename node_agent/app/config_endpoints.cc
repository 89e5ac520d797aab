#include "node_agent/app/config_endpoints.h"

#include <string>

#include "node_agent/app/config_checks.h"

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

// Empty: none.
Result<std::string> ReadFilePath(const YamlNode& node) {
  ASSIGN_OR_RETURN(std::string text, node.AsString());
  if (text.empty()) return text;
  return CheckAbsolutePath(node);
}

template <class T>
void Set(const YamlNode& map, std::string_view key, T& target, Result<T> (*read)(const YamlNode&), YamlErrors& errors) {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  if (auto value = errors.Take(read(*node))) target = *std::move(value);
}

BundleEndpointConfig ReadBundleEndpoint(const YamlNode& node, YamlErrors& errors) {
  BundleEndpointConfig bundle;
  if (!errors.Add(node.RequireKnownKeys({"address", "cert", "key"}))) return bundle;
  Set(node, "address", bundle.address, ReadAddress, errors);
  Set(node, "cert", bundle.cert, ReadFilePath, errors);
  Set(node, "key", bundle.key, ReadFilePath, errors);
  if (bundle.cert.empty() != bundle.key.empty())
    errors.Add(
        node.Fail("cert and key belong together; leave both out to serve with an X.509-SVID of the agent's own"));
  return bundle;
}

}  // namespace

EndpointsConfig ReadEndpoints(const YamlNode& node, YamlErrors& errors) {
  EndpointsConfig endpoints;
  errors.Add(node.RequireKnownKeys({"metrics", "health", "bundle"}, {"authzen", "ext_authz", "broker"}));
  Set(node, "metrics", endpoints.metrics, ReadAddress, errors);
  Set(node, "health", endpoints.health, ReadAddress, errors);
  const YamlNode* bundle = node.Find("bundle");
  if (bundle == nullptr) return endpoints;
  endpoints.bundle = ReadBundleEndpoint(*bundle, errors);
  const auto& address = endpoints.bundle.address;
  if (address && address->port != 0 && (address == endpoints.metrics || address == endpoints.health))
    errors.Add(bundle->Fail("{} is the address of another endpoint, which does not speak TLS", address->str()));
  return endpoints;
}

}  // namespace lanyard
