// What every TLS context of ours has in common, whatever it shows and whom it asks.
//
// Security level 2 (112 bits), forward secrecy and authenticated encryption only, nothing renegotiated or compressed.
// Sessions are never resumed, because a resumed session is not verified again and would walk past a revocation. That is
// switched off in all three ways, no stateless tickets, none sent at all, no cache: any one alone leaves another open.
//
// Thread: any, for a context that is being made.
#pragma once

#include "node_agent/base/status.h"

struct ssl_ctx_st;  // SSL_CTX

namespace lanyard {

// `lowest_version` is TLS1_2_VERSION or TLS1_3_VERSION; the highest is 1.3.
Status RestrictTls(ssl_ctx_st* context, int lowest_version);

}  // namespace lanyard
