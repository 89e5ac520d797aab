// Reading lines back: times, and the strict parser.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <vector>

#include "node_agent/audit/audit_line.h"

namespace lanyard {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDepth = 3;  // {caller:{selectors:[…]}}

enum class Type { kString, kNumber, kObject, kStrings };
struct Key {
  const char* name;
  Type type;
};
constexpr Key kKeys[] = {{"seq", Type::kNumber},
                         {"time", Type::kString},
                         {"kind", Type::kString},
                         {"decision", Type::kString},
                         {"reason", Type::kString},
                         {"nearly", Type::kStrings},
                         {"caller", Type::kObject},
                         {"spiffe_id", Type::kString},
                         {"task", Type::kString},
                         {"owner", Type::kString},
                         {"tool", Type::kString},
                         {"action", Type::kString},
                         {"resource", Type::kString},
                         {"serial", Type::kString},
                         {"authority", Type::kString},
                         {"not_after", Type::kString},
                         {"policy", Type::kObject},
                         {"environment", Type::kString},
                         {"correlation_id", Type::kString},
                         {"count", Type::kNumber},
                         {"checkpoint", Type::kObject},
                         {"prev_hash", Type::kString}};

bool Is(const Json& value, Type type) {
  switch (type) {
    case Type::kString:
      return value.is_string();
    case Type::kNumber:
      return value.is_number_unsigned();
    case Type::kObject:
      return value.is_object();
    case Type::kStrings:
      return value.is_array() &&
             std::all_of(value.begin(), value.end(), [](const Json& one) { return one.is_string(); });
  }
  return false;
}

template <class... Args>
Status Wrong(fmt::format_string<Args...> format, Args&&... args) {
  return Error(StatusCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

// The object, or why not: a parser that lets the last of two equal keys win would show another line than the next
// parser does.
Result<Json> ParseObject(std::string_view line) {
  std::vector<std::set<std::string>> open;  // the keys of each object that is not closed yet
  bool twice = false, deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    deep = deep || depth > kMaxDepth;
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end && !open.empty()) open.pop_back();
    if (event == Json::parse_event_t::key && !open.empty()) {
      twice = !open.back().insert(value.get<std::string>()).second || twice;
    }
    return true;
  };
  Json object = Json::parse(line, watch, false);
  if (object.is_discarded() || !object.is_object()) return Wrong("not a JSON object");
  if (twice) return Wrong("a key stands there twice");
  if (deep) return Wrong("nested too deeply");
  return object;
}

Result<std::string> Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return Wrong("\"{}\" is missing", key);
  if (!found->is_string()) return Wrong("\"{}\" has the wrong type", key);
  return found->get<std::string>();
}

Result<uint64_t> Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return Wrong("\"{}\" is missing", key);
  if (!found->is_number_unsigned()) return Wrong("\"{}\" has the wrong type", key);
  return found->get<uint64_t>();
}

Result<std::string> Hash(const Json& object, const char* key) {
  ASSIGN_OR_RETURN(std::string text, Text(object, key));
  if (!IsAuditHash(text)) return Wrong("\"{}\" is not 64 lower-case hexadecimal digits", key);
  return text;
}

Result<AuditCheckpoint> ReadCheckpoint(const Json& object) {
  AuditCheckpoint checkpoint;
  ASSIGN_OR_RETURN(checkpoint.covered.seq, Number(object, "seq"));
  ASSIGN_OR_RETURN(checkpoint.covered.hash, Hash(object, "hash"));
  ASSIGN_OR_RETURN(checkpoint.key_id, Hash(object, "key_id"));
  ASSIGN_OR_RETURN(checkpoint.signature, Text(object, "signature"));
  return checkpoint;
}

std::optional<IssuedSerial> ReadIssued(const Json& object) {
  const auto authority = Text(object, "authority"), serial = Text(object, "serial"),
             spiffe_id = Text(object, "spiffe_id"), not_after = Text(object, "not_after");
  if (!authority.ok() || !serial.ok() || !spiffe_id.ok() || !not_after.ok()) return std::nullopt;
  const std::optional<WallTime> end = ParseAuditTime(*not_after);
  if (!end) return std::nullopt;
  return IssuedSerial{.authority = *authority, .serial = *serial, .spiffe_id = *spiffe_id, .not_after = *end};
}

std::optional<unsigned> Digits(std::string_view text) {
  unsigned value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value;
}

}  // namespace

std::string FormatAuditTime(WallTime time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(floor<microseconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

std::optional<WallTime> ParseAuditTime(std::string_view text) {
  using namespace std::chrono;
  const bool fraction = text.size() == 27;
  if ((!fraction && text.size() != 20) || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text.back() != 'Z' || (fraction && text[19] != '.')) {
    return std::nullopt;
  }
  const auto y = Digits(text.substr(0, 4)), mo = Digits(text.substr(5, 2)), d = Digits(text.substr(8, 2)),
             h = Digits(text.substr(11, 2)), mi = Digits(text.substr(14, 2)), s = Digits(text.substr(17, 2)),
             us = Digits(fraction ? text.substr(20, 6) : "0");
  if (!y || !mo || !d || !h || !mi || !s || !us || *h > 23 || *mi > 59 || *s > 59) return std::nullopt;
  const year_month_day date(year(static_cast<int>(*y)), month(*mo), day(*d));
  if (!date.ok() || *y < 1970 || *y > 2250) return std::nullopt;  // within what nanoseconds since 1970 can say
  return WallTime(sys_days(date).time_since_epoch() + hours(*h) + minutes(*mi) + seconds(*s) + microseconds(*us));
}

Result<AuditLine> ParseAuditLine(std::string_view text) {
  if (text.size() > kMaxAuditLineBytes) return Wrong("longer than the {} bytes of a line", kMaxAuditLineBytes);
  ASSIGN_OR_RETURN(const Json object, ParseObject(text));
  for (const Key& key : kKeys) {
    const auto found = object.find(key.name);
    if (found != object.end() && !Is(*found, key.type)) return Wrong("\"{}\" has the wrong type", key.name);
  }
  AuditLine line;
  ASSIGN_OR_RETURN(line.seq, Number(object, "seq"));
  if (line.seq == 0) return Wrong("\"seq\" is 0; numbers begin with 1");
  ASSIGN_OR_RETURN(const std::string time, Text(object, "time"));
  const std::optional<WallTime> parsed = ParseAuditTime(time);
  if (!parsed) return Wrong("\"time\" is not a time in UTC as RFC 3339 has it");
  line.time = *parsed;
  ASSIGN_OR_RETURN(line.kind, Text(object, "kind"));
  ASSIGN_OR_RETURN(line.prev_hash, Hash(object, "prev_hash"));
  const bool signs = line.kind == AuditKindName(AuditKind::kCheckpoint);
  if (signs != object.contains("checkpoint")) return Wrong("\"checkpoint\" and the kind do not fit together");
  if (signs) {
    ASSIGN_OR_RETURN(line.checkpoint, ReadCheckpoint(object["checkpoint"]));
  }
  if (IsIssueKind(line.kind)) line.issued = ReadIssued(object);
  return line;
}

}  // namespace lanyard
