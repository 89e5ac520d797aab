// A line of the audit log, read and written. Whatever a hostile caller put into a record, the line is one line of valid
// UTF-8, not too long, accepted by the strict reader, and says the number, time, kind and serial that were written; a
// file of any bytes is cut into the lines that it has.
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "node_agent/audit/audit_line.h"
#include "node_agent/audit/line_reader.h"
#include "tests/fuzz/fuzzing.h"

namespace lanyard {
namespace {

using std::chrono::microseconds;

void CheckAccepted(std::string_view text) {
  const auto line = ParseAuditLine(text);
  if (!line.ok()) return RequireTold(line.status(), StatusCode::kInvalidArgument);
  Require(text.size() <= kMaxAuditLineBytes && line->seq > 0 && IsAuditHash(line->prev_hash));
  Require(line->checkpoint.has_value() == (line->kind == "checkpoint"));
  if (const auto& signed_line = line->checkpoint)
    Require(IsAuditHash(signed_line->covered.hash) && IsAuditHash(signed_line->key_id));
  const auto time = ParseAuditTime(FormatAuditTime(line->time));
  Require(time && *time == line->time);
  const auto document = nlohmann::json::parse(text, nullptr, false);
  Require(document.is_object() && document["seq"] == line->seq && document["prev_hash"] == line->prev_hash);
  // The quick look gives the same answer wherever it gives one to a line in our form.
  if (const auto link = PeekAuditLink(text)) Require(IsAuditHash(link->prev_hash));
}

std::string Hash(FuzzInput& input) {
  return fmt::format("{:016x}{:016x}{:032x}", input.Bits(), input.Bits(), 7);
}

AuditPlace Place(FuzzInput& input, std::string_view environment, std::string_view prev_hash) {
  return {.seq = std::max<uint64_t>(1, input.Bits()),
          .time = WallTime(microseconds(input.Number(0, 8'000'000'000'000'000))),
          .environment = environment,
          .prev_hash = prev_hash};
}

// What every line that we write keeps to.
AuditLine CheckLine(const std::string& line, const AuditPlace& place) {
  Require(line.size() <= kMaxAuditLineBytes);
  Require(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
  const auto read = ParseAuditLine(line);
  Require(read.ok());
  Require(read->seq == place.seq && read->time == place.time && read->prev_hash == place.prev_hash);
  const auto link = PeekAuditLink(line);
  Require(link && link->seq == place.seq && link->prev_hash == place.prev_hash);
  Require(PeekAuditKind(line) == read->kind);
  const auto hash = HashAuditLine(line);
  Require(hash.ok() && IsAuditHash(*hash));
  return *read;
}

void CheckRecord(FuzzInput input) {
  const std::string hash = Hash(input), environment = input.Text(200);
  const AuditPlace place = Place(input, environment, hash);
  AuditRecord record{.kind = static_cast<AuditKind>(input.Number(0, static_cast<int>(AuditKind::kCheckpoint) - 1)),
                     .decision = static_cast<AuditDecision>(input.Number(0, 2)),
                     .reason = {}};
  record.count = input.Bits();
  if (input.Flag()) record.not_after = WallTime(microseconds(input.Number(0, 8'000'000'000'000'000)));
  if (input.Flag()) record.policy = AuditPolicy{.engine = input.Text(200), .revision = input.Text(200)};
  record.serial = input.Text(200);
  record.authority = input.Text(200);
  record.spiffe_id = input.Text(3000);
  record.reason = input.Text(4000);
  for (std::string AuditRecord::*field : {&AuditRecord::task, &AuditRecord::owner, &AuditRecord::tool,
                                          &AuditRecord::action, &AuditRecord::resource, &AuditRecord::correlation_id})
    record.*field = input.Text(2000);
  if (!input.empty()) {
    record.caller.emplace();
    record.caller->pid = static_cast<pid_t>(input.Number(0, INT32_MAX));
    record.caller->uid = static_cast<uid_t>(input.Number(0, UINT32_MAX));
    while (!input.empty()) record.caller->selectors.push_back(input.Text(5000));
  }
  const std::string line = FormatAuditLine(record, place);
  const AuditLine read = CheckLine(line, place);
  Require(read.kind == AuditKindName(record.kind) && !read.checkpoint);
  const bool names_all = !record.serial.empty() && !record.authority.empty() && !record.spiffe_id.empty();
  Require(read.issued.has_value() ==
          (IsIssueKind(AuditKindName(record.kind)) && names_all && record.not_after.has_value()));
  if (read.issued) Require(read.issued->not_after == *record.not_after);
  AuditRecord cut = record;
  CutAuditRecord(cut);
  Require(FormatAuditLine(cut, place) == line);
}

void CheckCheckpoint(FuzzInput input) {
  const std::string prev_hash = Hash(input), covered = Hash(input), key_id = Hash(input), environment = input.Text(200);
  const AuditPlace place = Place(input, environment, prev_hash);
  const AuditCheckpoint written{
      .covered = {.seq = input.Bits(), .hash = covered}, .key_id = key_id, .signature = "c2ln"};
  const AuditLine read = CheckLine(FormatCheckpointLine(written, place), place);
  const AuditCheckpoint& found = Present(read.checkpoint);
  Require(found.covered.seq == written.covered.seq && found.covered.hash == covered);
  Require(found.key_id == key_id && found.signature == written.signature);
}

void CheckTime(std::string_view text) {
  const auto time = ParseAuditTime(text);
  if (!time) return;
  const std::string written = FormatAuditTime(*time);
  Require(written == text || written == std::string(text.substr(0, 19)) + ".000000Z");
}

void CheckFile(std::string_view text) {
  static const UniqueFd file(memfd_create("lines", MFD_CLOEXEC));
  Require(ftruncate(file.get(), 0) == 0);
  Require(pwrite(file.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  LineReader reader(file.get(), "the file");
  std::string together;
  LineReader::Line line;
  uint64_t number = 0;
  while (true) {
    const auto more = reader.Next(line);
    Require(more.ok());
    if (!*more) break;
    Require(line.number == ++number && line.offset == together.size());
    Require(line.too_long == (line.text.size() > kMaxAuditLineBytes));
    together += line.text;
    if (line.ended) together += '\n';
  }
  Require(together == text);
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lanyard;
  const std::string_view text = AsText(data, size);
  CheckAccepted(text.substr(0, text.find('\n')));
  CheckTime(text);
  CheckFile(text);
  CheckRecord(FuzzInput(data, size));
  CheckCheckpoint(FuzzInput(data, size));
  return 0;
}
