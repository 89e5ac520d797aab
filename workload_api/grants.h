// What one call has been given, on record before it is given, and when it ends what a stream shows.
//
// The first time that a call is to be shown an identity, a "fetch" record is written, with the serial of that moment.
// Renewals of the same identity on the same stream are not written again for each stream: the "issue" record has the
// new serial, and the stream is known to be open from its "fetch" to its "release". When the registry takes an identity
// away, and when the call is over, a "release" record is written, also for what was still on its way to the record.
//
// Lifetime: inside the call's handler; borrows its Caller. Thread: loop.
#pragma once

#include <absl/functional/any_invocable.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "workload_api/caller.h"

namespace lanyard {

// An identity as one call is given it.
struct Granted {
  EntryPtr entry;
  std::string serial;  // of a token, its ID
  WallTime not_after;
};

class Grants {
 public:
  using Done = absl::AnyInvocable<void(Status) &&>;

  explicit Grants(const Caller& caller) : caller_(caller) {}
  ~Grants();

  bool Has(const EntryPtr& entry) const { return granted_.contains(entry); }
  bool recording() const { return recording_; }

  // Writes that the call is shown `svids`; afterwards Has() their entries. Must not be called while recording().
  // `done` runs on the loop, never if this is destroyed first; Unavailable when it could not be written.
  void Add(const std::vector<Granted>& svids, Done done);
  // The same for a call that is over when it has answered. There is no release: who has a token has it until it
  // expires.
  void AddForGood(const std::vector<Granted>& svids, Done done);
  // Writes that the call is given something that belongs to nobody in particular (a bundle).
  void AddUnnamed(Done done);
  // Releases what is not among `entries`.
  void KeepOnly(const Entries& entries);

 private:
  std::vector<AuditRecord> RecordsOf(const std::vector<Granted>& svids) const;
  void Write(std::vector<AuditRecord> records, Done done);
  void Release(const EntryPtr& entry, std::string reason);

  const Caller& caller_;
  std::set<EntryPtr> granted_;
  std::vector<EntryPtr> pending_;  // on their way to the record
  bool recording_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace lanyard
