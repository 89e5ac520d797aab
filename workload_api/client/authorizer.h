// Who may be on the other end: decided after the SPIFFE ID of the peer was verified, and before any application data.
//
// There is no "anybody" among these: whoever wants it writes AuthorizeIf() and can be asked about it.
//
// Thread: any; an authorizer is called on whichever thread drives a handshake, several at once.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"

namespace lanyard {

// OK lets the peer in; the message of an error is part of what PeerId() says. One that throws refuses.
using Authorizer = std::function<Status(const SpiffeId& peer)>;

Authorizer AuthorizeId(SpiffeId id);
Authorizer AuthorizeOneOf(std::vector<SpiffeId> ids);
// An AI agent itself, or one of its tasks, whose ID is the agent's with "/task/<id>" behind it.
Authorizer AuthorizeAgentOrTask(SpiffeId agent);
Authorizer AuthorizeMemberOf(TrustDomain trust_domain);
// `what` is who is expected, for messages: "a reader of this dataset".
Authorizer AuthorizeIf(std::function<bool(const SpiffeId& peer)> predicate, std::string what);

}  // namespace lanyard
