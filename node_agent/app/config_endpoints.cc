#include "node_agent/app/config_endpoints.h"

#include <string>

#include "node_agent/app/config_checks.h"
#include "node_agent/app/config_values.h"

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

BundleEndpointConfig ReadBundleEndpoint(const YamlNode& node, YamlErrors& errors) {
  BundleEndpointConfig bundle;
  if (!errors.Add(node.RequireKnownKeys({"address", "cert", "key"}))) return bundle;
  SetValue(node, "address", bundle.address, errors, ReadAddress);
  SetValue(node, "cert", bundle.cert, errors, ReadFilePath);
  SetValue(node, "key", bundle.key, errors, ReadFilePath);
  if (bundle.cert.empty() != bundle.key.empty())
    errors.Add(
        node.Fail("cert and key belong together; leave both out to serve with an X.509-SVID of the agent's own"));
  return bundle;
}

}  // namespace

EndpointsConfig ReadEndpoints(const YamlNode& node, YamlErrors& errors) {
  EndpointsConfig endpoints;
  errors.Add(node.RequireKnownKeys({"metrics", "health", "bundle"}, {"authzen", "ext_authz", "broker"}));
  SetValue(node, "metrics", endpoints.metrics, errors, ReadAddress);
  SetValue(node, "health", endpoints.health, errors, ReadAddress);
  const YamlNode* bundle = node.Find("bundle");
  if (bundle == nullptr) return endpoints;
  endpoints.bundle = ReadBundleEndpoint(*bundle, errors);
  const auto& address = endpoints.bundle.address;
  if (address && address->port != 0 && (address == endpoints.metrics || address == endpoints.health))
    errors.Add(bundle->Fail("{} is the address of another endpoint, which does not speak TLS", address->str()));
  return endpoints;
}

}  // namespace lanyard
