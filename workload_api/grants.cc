#include "workload_api/grants.h"

#include <algorithm>
#include <utility>

namespace lanyard {

Grants::~Grants() {
  for (const EntryPtr& entry : granted_) Release(entry, "the stream is over");
  for (const EntryPtr& entry : pending_) Release(entry, "the stream was over before it was handed out");
}

std::vector<AuditRecord> Grants::RecordsOf(const std::vector<Granted>& svids) const {
  std::vector<AuditRecord> records;
  for (const Granted& svid : svids) {
    AuditRecord record = caller_.NewRecord();
    record.spiffe_id = svid.entry->id.str();
    record.owner = svid.entry->owner ? svid.entry->owner->business : "";
    record.serial = svid.serial;
    record.not_after = svid.not_after;
    records.push_back(std::move(record));
  }
  return records;
}

void Grants::Add(const std::vector<Granted>& svids, Done done) {
  for (const Granted& svid : svids) pending_.push_back(svid.entry);
  Write(RecordsOf(svids), [this, done = std::move(done)](Status status) mutable {
    const std::vector<EntryPtr> recorded = std::exchange(pending_, {});
    if (status.ok()) {
      granted_.insert(recorded.begin(), recorded.end());
    } else {  // the record may still come, after the caller was told that there is nothing
      for (const EntryPtr& entry : recorded) Release(entry, "it was not handed out");
    }
    std::move(done)(std::move(status));
  });
}

void Grants::AddForGood(const std::vector<Granted>& svids, Done done) {
  Write(RecordsOf(svids), std::move(done));
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
