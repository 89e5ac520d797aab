// This program's own X.509-SVID and what it verifies others by: always the newest.
//
// A source follows the Workload API in the background for as long as it lives: it renews, hears of new bundles and
// revocation lists, and comes back by itself when the agent was away. Reading is lock-free and never blocks. What a
// reader holds is immutable and stays valid, but does not change any more: for each handshake or decision, read again
// (the TLS contexts of tls.h do).
//
// While the agent is away the last state stays; an SVID is not handed out any more once it has expired. What the agent
// takes back is gone at once. Each error says what is wrong with the connection to the agent.
//
// Lifetime: a TLS context keeps its source. The destructor does what Close() does. Thread: any. Throws nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "node_agent/base/status.h"
#include "pki/spiffe_id.h"
#include "pki/x509_svid.h"
#include "workload_api/client/workload_client.h"
#include "workload_api/client/x509_snapshot.h"

namespace lanyard {

// Which one, where the agent gives several. The first one if nothing is said.
struct X509SourceOptions {
  std::optional<SpiffeId> id;
  std::string hint;
};

// What WaitReady() does when the agent says that it knows no identity for this program: it may know one in a moment.
enum class IfDenied { kWait, kReturn };

class X509Source {
 public:
  using SnapshotPtr = std::shared_ptr<const X509Snapshot>;

  // Begins to follow; does not wait. ResourceExhausted when no thread can be had.
  static Result<std::shared_ptr<X509Source>> Create(const std::shared_ptr<WorkloadClient>& client,
                                                    X509SourceOptions options = {});
  ~X509Source();
  X509Source(const X509Source&) = delete;
  X509Source& operator=(const X509Source&) = delete;

  // OK as soon as there is an SVID as asked for, with bundles. After `timeout` (or at once, where waiting cannot help)
  // the error of Svid(): PermissionDenied when the agent knows no identity for this program, Unavailable when it cannot
  // be reached, FailedPrecondition after Close().
  Status WaitReady(std::chrono::milliseconds timeout, IfDenied if_denied = IfDenied::kWait) const;

  // The SVID as asked for, unless it has expired by the system's clock. NotFound: the agent gives others.
  Result<X509Svid> Svid() const;
  // All that is known. Without identities when the agent took them back.
  Result<SnapshotPtr> Snapshot() const;
  // Whether SVIDs of this trust domain are checked for revocation: from the first list of it on. False, too, while
  // nothing is known.
  bool ChecksRevocation(const TrustDomain& trust_domain) const;
  // The first snapshot after the one with this version (0: any). When none came within `timeout`: how the
  // stream ended, or DeadlineExceeded while the agent is there.
  Result<SnapshotPtr> WaitNewer(std::uint64_t version, std::chrono::milliseconds timeout) const;

  // OK while the agent is there; else how the stream to it ended. The last state may still be good.
  Status Connection() const;

  // Stops following and wakes whoever waits; takes as long as cancelling a call. From then on everything is
  // FailedPrecondition, and handshakes of TLS contexts made from this source fail.
  void Close();

 private:
  struct State;
  explicit X509Source(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace lanyard
