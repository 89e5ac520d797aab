// The section `endpoints` of the configuration: what is served over HTTP, and where.
//
// Thread: any.
#pragma once

#include <optional>

#include "node_agent/base/http_server.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

struct EndpointsConfig {  // nothing: not served
  std::optional<HttpAddress> metrics = HttpAddress{"127.0.0.1", 9464};
  std::optional<HttpAddress> health = HttpAddress{"127.0.0.1", 9465};
};

// Where a key is absent or wrong the default stays; errors are added with their positions.
EndpointsConfig ReadEndpoints(const YamlNode& node, YamlErrors& errors);

}  // namespace lanyard
