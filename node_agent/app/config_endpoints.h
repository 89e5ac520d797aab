// The section `endpoints` of the configuration: what is served over HTTP, and where.
//
// Thread: any.
#pragma once

#include <optional>
#include <string>

#include "node_agent/base/http_server.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// HTTPS. Without files the agent proves itself by an X.509-SVID of its own.
struct BundleEndpointConfig {
  std::optional<HttpAddress> address;
  std::string cert, key;  // both or neither; paths of PEM files

  bool operator==(const BundleEndpointConfig&) const = default;
};

struct EndpointsConfig {  // nothing: not served
  std::optional<HttpAddress> metrics = HttpAddress{"127.0.0.1", 9464};
  std::optional<HttpAddress> health = HttpAddress{"127.0.0.1", 9465};
  BundleEndpointConfig bundle;
};

// Where a key is absent or wrong the default stays; errors are added with their positions.
EndpointsConfig ReadEndpoints(const YamlNode& node, YamlErrors& errors);

}  // namespace lanyard
