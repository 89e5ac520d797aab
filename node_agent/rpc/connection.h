// One accepted connection: who made it, and how to recognise it again.
//
// The peer is taken from the kernel once, at accept, and never changes. Calls hold the Connection by shared_ptr, so
// that whoever handles a call keeps the very process that made it, whatever becomes of the socket or its number.
//
// Lifetime: shared. Thread: any (immutable but for the atomic flags; `account` is for the loop).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "node_agent/base/clock.h"
#include "node_agent/base/process.h"
#include "node_agent/base/status.h"
#include "node_agent/rpc/account.h"

namespace lanyard {

struct Connection {
  uint64_t id = 0;  // counts up from 1 for each socket path; for logs and audit
  int fd = -1;      // gRPC's name for the connection; valid for system calls only after comparing the cookie
  uint64_t cookie = 0;
  PeerProcess peer;
  AccountPtr account;  // on which its calls are; never null where a listener made it
  Status admission;    // not OK: every call on this connection is answered with it
  MonoTime accepted_at;
  mutable std::atomic<bool> call_seen{false};  // an admitted call has come
  mutable std::atomic<bool> ended{false};      // shut down by us
};
using ConnectionPtr = std::shared_ptr<const Connection>;

}  // namespace lanyard
