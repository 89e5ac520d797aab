#include "workload_api/grants.h"

#include <algorithm>
#include <utility>

namespace lanyard {

Grants::~Grants() {
  for (const EntryPtr& entry : granted_) Release(entry, "the stream is over");
  for (const EntryPtr& entry : pending_) Release(entry, "the stream was over before it was handed out");
}

void Grants::Add(const std::vector<CachedSvidPtr>& svids, Done done) {
  std::vector<AuditRecord> records;
  for (const CachedSvidPtr& cached : svids) {
    pending_.push_back(cached->entry);
    AuditRecord record = caller_.NewRecord();
    record.spiffe_id = cached->svid.id().str();
    record.owner = cached->entry->owner ? cached->entry->owner->business : "";
    record.serial = cached->svid.serial_hex();
    record.not_after = cached->svid.not_after();
    records.push_back(std::move(record));
  }
  Write(std::move(records), [this, done = std::move(done)](Status status) mutable {
    const std::vector<EntryPtr> recorded = std::exchange(pending_, {});
    if (status.ok()) granted_.insert(recorded.begin(), recorded.end());
    std::move(done)(std::move(status));
  });
}

void Grants::AddUnnamed(Done done) {
  Write({caller_.NewRecord()}, std::move(done));
}

void Grants::Write(std::vector<AuditRecord> records, Done done) {
  recording_ = true;
  for (AuditRecord& record : records) record.decision = AuditDecision::kAllow;
  caller_.access().Grant(
      std::move(records), [this, alive = std::weak_ptr<void>(alive_), done = std::move(done)](Status status) mutable {
        if (alive.expired()) return;
        recording_ = false;
        if (!status.ok()) {
          status = Error(StatusCode::kUnavailable, "nothing is handed out that cannot be put on record first: {}",
                         Message(status));
        }
        std::move(done)(std::move(status));
      });
}

void Grants::KeepOnly(const Entries& entries) {
  std::erase_if(granted_, [&](const EntryPtr& granted) {
    if (std::find(entries.begin(), entries.end(), granted) != entries.end()) return false;
    Release(granted, "the registry no longer gives it to this process");
    return true;
  });
}

void Grants::Release(const EntryPtr& entry, std::string reason) {
  AuditRecord record = caller_.NewRecord();
  record.kind = AuditKind::kRelease;
  record.reason = std::move(reason);
  record.spiffe_id = entry->id.str();
  record.caller->selectors.clear();  // they are in the record of the grant
  record.policy.reset();
  caller_.access().Release(std::move(record));
}

}  // namespace lanyard
