// JWT-SVIDs: gets them for this program, and validates those of others without asking the agent.
//
// A source follows the JWT authorities of all trust domains in the background and comes back by itself when the agent
// was away; what it knew stays until then. Validate() reads them lock-free and never blocks.
//
// A token is a credential for whoever holds it: it is never logged here, and should not be elsewhere.
//
// Lifetime: the destructor does what Close() does. Thread: any. Throws nothing.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node_agent/base/status.h"
#include "pki/bundle.h"
#include "pki/jwt_svid.h"
#include "pki/spiffe_id.h"
#include "workload_api/client/workload_client.h"

namespace lanyard {

struct JwtFetchOptions {
  std::optional<SpiffeId> id;  // where the agent gives several; the first if nothing is said
  std::chrono::milliseconds timeout{10'000};
};

class JwtSource {
 public:
  // Begins to follow; does not wait. ResourceExhausted when no thread can be had.
  static Result<std::shared_ptr<JwtSource>> Create(const std::shared_ptr<WorkloadClient>& client);
  ~JwtSource();
  JwtSource(const JwtSource&) = delete;
  JwtSource& operator=(const JwtSource&) = delete;

  // OK as soon as there are bundles to validate with. After `timeout`, or at once where waiting cannot help, how the
  // stream of them ended. Fetch() needs no bundles.
  Status WaitReady(std::chrono::milliseconds timeout) const;

  // A JWT-SVID of this program for these audiences, at least one. Asks the agent, which keeps tokens until half of
  // their life is over, and blocks until its answer. InvalidArgument: no audience, or the agent's answer is none;
  // PermissionDenied: no identity, or not that one; DeadlineExceeded.
  Result<JwtSvid> Fetch(const std::vector<std::string>& audiences, const JwtFetchOptions& options = {}) const;

  // The SVID if `token` is one for `audience`, by the system's clock and the newest bundles (JWT-SVID §4).
  // InvalidArgument: it is no JWT-SVID. Unauthenticated: it is one, but does not count here and now. Unavailable:
  // there are no bundles yet.
  Result<JwtSvid> Validate(std::string_view token, std::string_view audience) const;

  // The authorities that Validate() goes by.
  Result<std::shared_ptr<const BundleSet>> Bundles() const;

  // OK while the agent is there; else how the stream to it ended.
  Status Connection() const;

  // Stops following and wakes whoever waits; a Fetch() that runs goes on. From then on everything is
  // FailedPrecondition.
  void Close();

 private:
  struct State;
  explicit JwtSource(std::unique_ptr<State> state);

  const std::unique_ptr<State> state_;
};

}  // namespace lanyard
