// The issuer that JWT-SVIDs name, so that verifiers which only know OpenID Connect find the keys.
//
// Thread: any.
#pragma once

#include <string>

#include "node_agent/base/status.h"
#include "node_agent/base/yaml.h"

namespace lanyard {

// An https URL without query and fragment (OpenID Connect Discovery 1.0 §3), or empty. Otherwise InvalidArgument with
// the position.
Result<std::string> ReadOidcIssuer(const YamlNode& node);

}  // namespace lanyard
