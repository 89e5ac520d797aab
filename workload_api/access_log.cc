#include "workload_api/access_log.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "node_agent/base/join.h"
#include "node_agent/base/log.h"
#include "node_agent/identity/disk_patience.h"

namespace lanyard {
namespace {

constexpr std::chrono::minutes kCountEvery{1};
constexpr size_t kMostKinds = 1024;
constexpr size_t kMostKindsOfOne = 64;  // of one user

std::string RandomRunName() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

// A reason may name the pid, which is another one each time.
std::string WithoutNumbers(std::string text) {
  std::erase_if(text, [](char c) { return c >= '0' && c <= '9'; });
  return text;
}

std::string_view WhatIn(const AuditRecord& record) {
  return record.resource.empty() ? "calls" : std::string_view(record.resource);
}

}  // namespace

AccessLog::AccessLog(AuditLog& audit, Clock& clock) : audit_(audit), clock_(clock), run_(RandomRunName()) {}

std::string AccessLog::NewCorrelationId() {
  return fmt::format("{}-{}", run_, ++calls_);
}

void AccessLog::Grant(std::vector<AuditRecord> records, AuditLog::Done done) {
  grants_ += records.size();
  const Join join(records.size(), WithinDiskPatience(clock_, std::move(done), "the disk of the audit log"));
  for (AuditRecord& record : records) audit_.Append(std::move(record), join.Part());
}

void AccessLog::Deny(AuditRecord record, const Status& why, std::string_view found, const Nearly& nearly) {
  ++denials_;
  Record(std::move(record), why, found, nearly);
}

void AccessLog::Record(AuditRecord record, const Status& why, std::string_view found, const Nearly& nearly) {
  record.decision = AuditDecision::kDeny;
  record.reason = std::string(Message(why));
  const AuditCaller caller = record.caller.value_or(AuditCaller());
  // What was found is part of the key: denials of two containers of one uid are two denials. So is the reason.
  Key key(caller.uid,
          fmt::format("{} {} {} {}", record.resource, CodeName(why.code()), WithoutNumbers(record.reason), found));
  if (!counted_.contains(key) && KindsOf(caller.uid) >= kMostKindsOfOne) {
    key = Key(caller.uid, "");
    record = {
        .kind = record.kind,
        .decision = AuditDecision::kDeny,
        .reason = fmt::format("more than {} kinds of denials of this uid within a minute; these are not told apart",
                              kMostKindsOfOne),
        .caller = AuditCaller{.pid = 0, .uid = caller.uid, .selectors = {}}};
  }
  const auto known = counted_.find(key);
  if (known != counted_.end()) {
    ++known->second.more;
    return;
  }
  SetAlarm();
  if (counted_.size() >= kMostKinds) {
    ++rest_.more;
    return;
  }
  if (nearly && !std::get<std::string>(key).empty()) record.nearly = nearly();
  LANYARD_LOG_WARN("denied {} to pid {} uid {}: {}{}{}{}{}", WhatIn(record), caller.pid, caller.uid, record.reason,
                   found.empty() ? "" : "; found ", found, record.nearly.empty() ? "" : "; nearly earned ",
                   fmt::join(record.nearly, ", "));
  audit_.Append(record);
  // What its counts do not say again.
  record.caller = AuditCaller{.pid = caller.pid, .uid = caller.uid, .selectors = {}};
  record.nearly.clear();
  counted_.emplace(std::move(key), Counted{std::move(record), 0});
}

size_t AccessLog::KindsOf(uid_t uid) const {
  const auto begin = counted_.lower_bound(Key(uid, ""));
  const auto end =
      std::find_if(begin, counted_.end(), [uid](const auto& counted) { return std::get<uid_t>(counted.first) != uid; });
  return static_cast<size_t>(std::distance(begin, end));
}

void AccessLog::SetAlarm() {
  if (alarm_) return;
  alarm_ = clock_.CallAfter(kCountEvery, [this] {
    alarm_.reset();
    WriteCounts();
    if (!counted_.empty()) SetAlarm();
  });
}

void AccessLog::WriteCounts() {
  for (auto counted = counted_.begin(); counted != counted_.end();) {
    AuditRecord record = counted->second.record;
    const uint64_t more = std::exchange(counted->second.more, 0);
    if (more == 0) {
      counted = counted_.erase(counted);  // quiet for a minute: the next one is written at once again
      continue;
    }
    record.count = more;
    record.caller->pid = 0;  // not always the same
    record.correlation_id.clear();
    LANYARD_LOG_WARN("denied {} to uid {} {} more times within a minute: {}", WhatIn(record), record.caller->uid, more,
                     record.reason);
    audit_.Append(std::move(record));
    ++counted;
  }
  const uint64_t rest = std::exchange(rest_.more, 0);
  if (rest == 0) return;
  LANYARD_LOG_WARN("denied {} more calls of too many kinds to tell apart", rest);
  audit_.Append(
      {.kind = AuditKind::kFetch,
       .decision = AuditDecision::kDeny,
       .reason = fmt::format("more than {} kinds of denials within a minute; these are not told apart", kMostKinds),
       .count = rest});
}

}  // namespace lanyard
