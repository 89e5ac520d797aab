// The whole decision for one call: who asks, and what the registry gives to them.
//
// Identify() attests the process that made the connection, anew for every call, and matches what was found against the
// registry. It answers with the entries earned, never with none:
//   PermissionDenied  no entry matches, or the caller is not who it was when it connected
//   Unavailable       an attestor could not find out something on which an entry depends, the caller exited meanwhile,
//   or
//                     one of its identities has reached a limit
// Only those kinds of selectors are looked up that some entry names, and no attestor is waited for on which none of the
// entries that are left for this caller depends. Who is refused is looked at once more, wholly: the record of a denial
// says everything that was found. (Who is refused again and again is not: denial_memory.h.)
//
// LookAgain() is the same for a stream that is open: no limit is asked, and an answer Unavailable is not put on record
// as a denial, since nothing is taken away for it.
//
// Every denial is put on record here and nowhere else; what is granted is put on record by Grants (grants.h).
//
// Lifetime: lives inside the handler of its call; destroying it cancels. Borrows the services. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <string>
#include <vector>

#include "attestors/attestation.h"
#include "node_agent/registry/registry_store.h"
#include "node_agent/rpc/call.h"
#include "workload_api/caller_services.h"

namespace lanyard {

using Entries = std::vector<EntryPtr>;

// What `findings` earn in `registry`; the errors of Identify() without the caller's name.
Result<Entries> Decide(const Findings& findings, const Registry& registry);

class Caller {
 public:
  using Done = absl::AnyInvocable<void(Result<Entries>) &&>;

  Caller(CallerServices& services, const Call& call);

  // `done` runs once, never before Identify() has returned.
  void Identify(Done done);

  // The rest only after Identify() has answered with entries.

  // `done` runs once, never before LookAgain() has returned. Must not be called while one is under way.
  void LookAgain(Done done);
  // True when the registry of now gives to this caller, by what was found last, exactly `entries`.
  bool StillEarns(const Entries& entries) const;
  // True when one of `entries` is certainly not earned, by what was found last and the registry of now.
  bool HasLost(const Entries& entries) const;
  // The call goes on with `entries`.
  void Hold(const Entries& entries) { ticket_ = services_.identities.Hold(entries); }
  // Puts on record that the call gets nothing more.
  void RecordDenial(const Status& why);
  // Puts on record that it gets nothing newer than it has.
  void RecordWithheld(const Status& why);

  // What every record about this call says: who, what it asked, by which registry that was decided.
  AuditRecord NewRecord() const;
  AccessLog& access() const { return services_.access; }
  pid_t pid() const { return call_.connection()->peer.process->pid(); }

 private:
  enum class Asks { kAnew, kOpenStream };
  struct Look {
    Asks asks;
    Done done;
    WantedKindsPtr wanted{};
    std::optional<Deadline> latest{};            // of a whole look
    std::shared_ptr<const Registry> registry{};  // by which it is enough, or that has denied before a whole look
    bool whole = false;                          // the second look at a caller that is denied, for the record
  };

  void LookNarrowly(Look look);
  void Attest(Look look);
  void OnFindings(Look look, Result<Findings> findings);
  // Looks a second time, or remembers what that would find; false: there is nothing more to look at.
  bool LookWholly(Look& look, const std::shared_ptr<const Registry>& registry);
  void OnWholeFindings(Look look, Result<Findings> findings);
  Result<Entries> Admit(Result<Entries> entries, const Look& look);
  Result<Entries> Match(const Registry& registry);

  CallerServices& services_;
  const Call& call_;
  const std::string correlation_id_;
  std::string revision_;  // of the registry that decided last
  std::unique_ptr<Attestation> attestation_;
  WantedKindsPtr wanted_;  // what findings_ are complete for
  std::shared_ptr<const Findings> findings_;
  IdentityLimits::Ticket ticket_;
};

}  // namespace lanyard
