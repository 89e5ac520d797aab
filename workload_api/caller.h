// The whole decision for one call: who asks, and what the registry gives to them.
//
// Identify() attests the process that made the connection, anew for every call, and matches what was found against the
// registry. It answers with the entries earned, never with none:
//   PermissionDenied  no entry matches, or the caller is not who it was when it connected
//   Unavailable       an attestor could not find out something on which an entry depends, or the caller exited
//   meanwhile
// Only those kinds of selectors are looked up that some entry names. Who is refused is looked at once more, wholly: the
// record of a denial says everything that was found.
//
// Reconsider() asks the registry again with the same findings, for an open stream after the registry has changed; when
// the registry names a kind of selectors that it did not name before, the process is attested again.
//
// Every denial is put on record here and nowhere else; what is granted is put on record by Grants (grants.h).
//
// Lifetime: lives inside the handler of its call; destroying it cancels. Borrows the services. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "attestors/attestation.h"
#include "node_agent/base/clock.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/call.h"
#include "workload_api/access_log.h"

namespace lanyard {

struct CallerServices {
  AttestorSet& attestors;
  const RegistryStore& registry;
  Clock& clock;
  AccessLog& access;
  std::chrono::milliseconds attestation_timeout{5000};
};

using Entries = std::vector<EntryPtr>;

// What `findings` earn in `registry`; the errors of Identify() without the caller's name.
Result<Entries> Decide(const Findings& findings, const Registry& registry);

class Caller {
 public:
  using Done = absl::AnyInvocable<void(Result<Entries>) &&>;

  Caller(CallerServices& services, const Call& call);

  // `done` runs once, never before Identify() has returned.
  void Identify(Done done);
  // Only after Identify() has answered with entries. `done` as there, but it may run before Reconsider() has returned.
  void Reconsider(Done done);

  // What every record about this call says: who, what it asked, by which registry that was decided.
  AuditRecord NewRecord() const;
  AccessLog& access() const { return services_.access; }
  pid_t pid() const { return call_.connection()->peer.process->pid(); }

 private:
  void Attest(WantedKindsPtr wanted, Deadline deadline, Done done);
  Result<Entries> Match(const Registry& registry);
  Deadline NewDeadline() const { return services_.clock.MonoNow() + services_.attestation_timeout; }

  CallerServices& services_;
  const Call& call_;
  const std::string correlation_id_;
  std::string revision_;  // of the registry that decided last
  std::unique_ptr<Attestation> attestation_;
  WantedKindsPtr wanted_;  // what findings_ are complete for
  std::unique_ptr<const Findings> findings_;
};

}  // namespace lanyard
