// The issuer that JWT-SVIDs name, so that verifiers which only know OpenID Connect find the keys.
//
// Thread: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "node_agent/app/config.h"
#include "node_agent/base/status.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// An https URL of a host, a port or none, and a path or none (OpenID Connect Discovery 1.0 §3), or empty. Verifiers
// compare it byte by byte, and fetch what lies below it: what is written in more than one way (upper case in the host,
// percent signs or dots in the path) is refused. Otherwise InvalidArgument with the position.
Result<std::string> ReadOidcIssuer(const YamlNode& node);

// Of such a URL: its host, and its path, which is "" or "/…".
std::string_view OidcIssuerHost(std::string_view issuer);
std::string_view OidcIssuerPath(std::string_view issuer);

// One line for each reason why verifiers will not find the keys, as far as the configuration shows it. Not errors: what
// is served here may be published elsewhere, or through a proxy.
std::vector<std::string> OidcWarnings(const Config& config);

}  // namespace lanyard
