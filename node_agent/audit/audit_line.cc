#include "node_agent/audit/audit_line.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "node_agent/audit/audit_text.h"
#include "pki/digest.h"
#include "pki/hex.h"

namespace lanyard {
namespace {

// Bytes that a value may take in the line, after escaping. Together with keys and numbers less than a line may have.
struct Limit {
  std::string AuditRecord::*field;
  const char* key;
  size_t bytes;
};
constexpr size_t kReason = 2048;
constexpr size_t kSelector = 1024;
constexpr size_t kAllSelectors = size_t{5} * 1024;
constexpr size_t kMaxSelectors = 64;
constexpr size_t kNearly = 480;  // each
constexpr size_t kMaxNearly = 3;
constexpr size_t kShort = 128;
constexpr std::array<Limit, 8> kMiddle = {{{&AuditRecord::spiffe_id, "spiffe_id", 2048 + 16},  // SPIFFE ID §2.3
                                           {&AuditRecord::task, "task", 512},
                                           {&AuditRecord::owner, "owner", 512},
                                           {&AuditRecord::tool, "tool", 512},
                                           {&AuditRecord::action, "action", 512},
                                           {&AuditRecord::resource, "resource", 1024},
                                           {&AuditRecord::serial, "serial", kShort},
                                           {&AuditRecord::authority, "authority", kShort}}};

std::string_view DecisionName(AuditDecision decision) {
  return decision == AuditDecision::kAllow ? "allow" : "deny";
}

void PutCaller(const AuditCaller& caller, std::string& line) {
  line += fmt::format(",\"caller\":{{\"pid\":{},\"uid\":{}", caller.pid, caller.uid);
  size_t written = 0;
  const size_t begin = line.size();
  for (; written < caller.selectors.size() && written < kMaxSelectors; ++written) {
    if (line.size() - begin > kAllSelectors) break;
    line += written == 0 ? ",\"selectors\":[" : ",";
    PutJsonString(caller.selectors[written], kSelector, line);
  }
  if (written > 0) line += ']';
  if (written < caller.selectors.size()) {
    line += fmt::format(",\"selectors_left_out\":{}", caller.selectors.size() - written);
  }
  line += '}';
}

void PutNearly(const std::vector<std::string>& nearly, std::string& line) {
  for (size_t i = 0; i < nearly.size() && i < kMaxNearly; ++i) {
    line += i == 0 ? ",\"nearly\":[" : ",";
    PutJsonString(nearly[i], kNearly, line);
  }
  if (!nearly.empty()) line += ']';
}

void PutHead(const AuditPlace& place, AuditKind kind, std::string& line) {
  line += fmt::format("{{\"seq\":{},\"time\":\"{}\",\"kind\":\"{}\"", place.seq, FormatAuditTime(place.time),
                      AuditKindName(kind));
}

void PutField(const char* key, std::string_view value, size_t max_bytes, std::string& line) {
  if (value.empty()) return;
  line += fmt::format(",\"{}\":", key);
  PutJsonString(value, max_bytes, line);
}

void Cut(std::string& value, size_t max_bytes) {
  if (value.size() <= max_bytes + 8) return;  // so much more that the cut still shows
  value.resize(max_bytes + 8);
  value.shrink_to_fit();
}

}  // namespace

std::string NoAuditHash() {
  return std::string(kHashDigits, '0');
}

void CutAuditRecord(AuditRecord& record) {
  Cut(record.reason, kReason);
  if (record.nearly.size() > kMaxNearly) record.nearly.resize(kMaxNearly);
  for (std::string& entry : record.nearly) Cut(entry, kNearly);
  for (const Limit& limit : kMiddle) Cut(record.*limit.field, limit.bytes);
  Cut(record.correlation_id, kShort);
  if (record.policy) {
    Cut(record.policy->engine, kShort);
    Cut(record.policy->revision, kShort);
  }
  if (!record.caller) return;
  std::vector<std::string>& selectors = record.caller->selectors;
  for (size_t i = 0; i < selectors.size(); ++i) Cut(selectors[i], i < kMaxSelectors ? kSelector : 0);
}

std::string FormatAuditLine(const AuditRecord& record, const AuditPlace& place) {
  std::string line;
  line.reserve(512);
  PutHead(place, record.kind, line);
  if (record.decision != AuditDecision::kNone) PutField("decision", DecisionName(record.decision), kShort, line);
  PutField("reason", record.reason, kReason, line);
  PutNearly(record.nearly, line);
  if (record.caller) PutCaller(*record.caller, line);
  for (const Limit& limit : kMiddle) PutField(limit.key, record.*limit.field, limit.bytes, line);
  if (record.not_after) PutField("not_after", FormatAuditTime(*record.not_after), kShort, line);
  if (record.policy) {
    line += ",\"policy\":{\"engine\":";
    PutJsonString(record.policy->engine, kShort, line);
    line += ",\"revision\":";
    PutJsonString(record.policy->revision, kShort, line);
    line += '}';
  }
  PutField("environment", place.environment, kShort, line);
  PutField("correlation_id", record.correlation_id, kShort, line);
  if (record.count != 1) line += fmt::format(",\"count\":{}", record.count);
  line += fmt::format(",\"prev_hash\":\"{}\"}}", place.prev_hash);
  return line;
}

std::string FormatCheckpointLine(const AuditCheckpoint& checkpoint, const AuditPlace& place) {
  std::string line;
  PutHead(place, AuditKind::kCheckpoint, line);
  PutField("environment", place.environment, kShort, line);
  line += fmt::format(
      ",\"checkpoint\":{{\"seq\":{},\"hash\":\"{}\",\"key_id\":\"{}\",\"signature\":\"{}\"}},\"prev_hash\":\"{}\"}}",
      checkpoint.covered.seq, checkpoint.covered.hash, checkpoint.key_id, checkpoint.signature, place.prev_hash);
  return line;
}

std::optional<AuditLink> PeekAuditLink(std::string_view line) {
  constexpr std::string_view kBegin = "{\"seq\":";
  constexpr std::string_view kBefore = "\"prev_hash\":\"";
  constexpr std::string_view kEnd = "\"}";
  constexpr size_t kTail = kBefore.size() + kHashDigits + kEnd.size();
  if (line.size() > kMaxAuditLineBytes || line.size() < kBegin.size() + kTail || !line.starts_with(kBegin) ||
      !line.ends_with(kEnd)) {
    return std::nullopt;
  }
  const std::string_view tail = line.substr(line.size() - kTail);
  AuditLink link{.seq = 0, .prev_hash = tail.substr(kBefore.size(), kHashDigits)};
  if (!tail.starts_with(kBefore) || !IsAuditHash(link.prev_hash)) return std::nullopt;
  const char* number = line.data() + kBegin.size();
  const auto [end, error] = std::from_chars(number, line.data() + line.size(), link.seq);
  if (error != std::errc() || *end != ',' || *number == '0') return std::nullopt;
  return link;
}

std::string_view PeekAuditKind(std::string_view line) {
  constexpr std::string_view kKey = "\"kind\":\"";
  line = line.substr(0, 128);  // it stands right after number and time
  const size_t at = line.find(kKey);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = line.substr(at + kKey.size());
  return rest.substr(0, rest.find('"'));
}

Result<std::string> HashAuditLine(std::string_view line) {
  Sha256 hash;
  hash.Update(line);
  return hash.FinishHex();
}

bool IsAuditHash(std::string_view text) {
  return IsLowerHex(text, kHashDigits);
}

}  // namespace lanyard
