// Why libcurl has failed, in words for who runs the agent.
//
// Thread: that of the transfer.
#pragma once

#include <string_view>

#include "node_agent/base/curl_library.h"
#include "node_agent/base/http_peer.h"
#include "node_agent/base/status.h"

namespace lanyard {

// `easy` is the transfer that ended with `code`, `text` what stands in its CURLOPT_ERRORBUFFER.
// Unavailable for what may pass. PermissionDenied when the server cannot be believed by its certificate, or refuses
// ours; FailedPrecondition when one of our files holds nothing that can be used. connect()'s errors are those of
// ErrnoStatus().
Status ExplainFault(const CurlLibrary& curl, CURL* easy, CURLcode code, std::string_view text, const HttpPeer& peer);

}  // namespace lanyard
