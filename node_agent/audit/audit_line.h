// One line of the audit log: a record as JSON, and what a reader takes from it.
//
// The values of a record come from hostile callers. A line is always one line and valid UTF-8: control characters are
// escaped, invalid bytes become U+FFFD, long values are cut (they end in "…"), and selectors beyond a limit are
// counted instead of written ("selectors_left_out"). So no line is longer than kMaxAuditLineBytes.
//
// The keys come in one order: seq, time, kind, decision, reason, caller{pid, uid, selectors}, spiffe_id, task, owner,
// tool, action, resource, serial, authority, not_after, policy{engine, revision}, environment, correlation_id, count,
// prev_hash. A checkpoint line has seq, time, kind, environment, checkpoint{seq, hash, key_id, signature}, prev_hash.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "node_agent/audit/audit_record.h"
#include "node_agent/state/state_store.h"

namespace lanyard {

inline constexpr size_t kMaxAuditLineBytes = size_t{16} * 1024;  // without the newline
inline constexpr size_t kHashDigits = 64;

// The hash before the first line of all.
std::string NoAuditHash();

// "2026-01-01T00:00:00.000000Z": UTC, to the microsecond (RFC 3339).
std::string FormatAuditTime(WallTime time);
// That form or the one without a fraction; nothing else, and no day that is in no calendar.
std::optional<WallTime> ParseAuditTime(std::string_view text);

// A signature over the line before: everything before it is chained to that.
struct AuditCheckpoint {
  AuditHead covered;      // the line before
  std::string key_id;     // SHA-256 of the audit key's SubjectPublicKeyInfo, hex
  std::string signature;  // ECDSA, DER, base64; over CheckpointText(covered)
};

// What a line has beside the record.
struct AuditPlace {
  uint64_t seq = 0;
  WallTime time;
  std::string_view environment;
  std::string_view prev_hash;
};

// Takes away what the line would not show anyway, so that a huge value does not wait in memory to be cut.
void CutAuditRecord(AuditRecord& record);

std::string FormatAuditLine(const AuditRecord& record, const AuditPlace& place);
std::string FormatCheckpointLine(const AuditCheckpoint& checkpoint, const AuditPlace& place);

// What readers need of a line.
struct AuditLine {
  uint64_t seq = 0;
  WallTime time;
  std::string kind;
  std::string prev_hash;
  std::optional<AuditCheckpoint> checkpoint;  // of a checkpoint line
  std::optional<IssuedSerial> issued;         // of an issue line that names what it needs
};

// Strict: one JSON object, no key twice, everything that must be there, and every known key of its type. Keys that are
// not known are let be: a later version may write more. InvalidArgument says what is wrong, without the line's values.
Result<AuditLine> ParseAuditLine(std::string_view line);

// The number and the previous hash of a line as we write it, without parsing all of it; nothing when it has not the
// form. For chaining many lines quickly, never as a verdict.
struct AuditLink {
  uint64_t seq = 0;
  std::string_view prev_hash;  // of the line's bytes
};
std::optional<AuditLink> PeekAuditLink(std::string_view line);

// "audit", …: the kind of a line as we write it, empty when it has not the form.
std::string_view PeekAuditKind(std::string_view line);

// SHA-256 of the line's bytes without its newline, lower-case hex.
Result<std::string> HashAuditLine(std::string_view line);

bool IsAuditHash(std::string_view text);

}  // namespace lanyard
