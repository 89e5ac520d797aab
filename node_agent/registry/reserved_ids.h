// Identities that the agent itself has, so that no entry of the registry may give them to a workload.
//
// Thread: any.
#pragma once

#include <string_view>

namespace lanyard {

// Where the agent serves a bundle endpoint. Whoever had it could show other trust domains another bundle as ours.
inline constexpr std::string_view kBundleEndpointPath = "/lanyard/bundle-endpoint";

}  // namespace lanyard
