// What the tests of the audit log share: a log in a directory of its own, on a fake clock.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "node_agent/audit/audit_file.h"
#include "node_agent/audit/audit_line.h"
#include "node_agent/audit/audit_log.h"
#include "node_agent/audit/audit_verify.h"
#include "node_agent/base/event_loop.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard::testing {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

inline std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void Spill(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}
inline std::vector<std::string> LinesOf(const std::string& path) {
  std::vector<std::string> lines;
  std::istringstream in(Slurp(path));
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}
inline std::string Joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}
inline std::string Words(const Status& status) {
  return std::string(Message(status));
}

// How many of the next calls of fdatasync(2) in this program fail (audit_file_test.cc).
inline std::atomic<int> failing_syncs = 0;

class AuditTest : public ::testing::Test {
 protected:
  AuditTest() {
    failing_syncs = 0;
    options.path = dir.Path("audit/audit.jsonl");
    options.key_path = dir.Path("audit/audit.key");
    options.environment = "production";
    options.reserve_bytes = 0;
  }

  Status TryOpen() {
    log.reset();
    auto opened = AuditLog::Open(options, loop, clock);
    if (!opened.ok()) return opened.status();
    log = *std::move(opened);
    log->OnHead([this](const AuditHead& head) { heads.push_back(head); });
    return OkStatus();
  }
  void Open() {
    const Status opened = TryOpen();
    ASSERT_TRUE(opened.ok()) << opened;
  }
  // Ends the log as a crash would: nothing is sealed.
  void Close() { log.reset(); }

  static AuditRecord Record(std::string reason, AuditKind kind = AuditKind::kFetch) {
    return AuditRecord{.kind = kind, .decision = AuditDecision::kAllow, .reason = std::move(reason)};
  }
  static AuditRecord Issue(std::string serial, WallTime not_after) {
    AuditRecord record = Record("signed", AuditKind::kIssue);
    record.spiffe_id = "spiffe://example.org/agent/a";
    record.serial = std::move(serial);
    record.authority = "ab12";
    record.not_after = not_after;
    return record;
  }

  // Appends and waits for the answer.
  Status Write(AuditRecord record, AuditSpace space = AuditSpace::kNormal) {
    std::optional<Status> answer;
    log->Append(
        std::move(record), [&](Status status) { answer = std::move(status); }, space);
    EXPECT_FALSE(answer) << "answered inside the call";
    EXPECT_TRUE(RunUntil(loop, [&] { return answer.has_value(); }));
    return answer.value_or(Error(StatusCode::kInternal, "no answer"));
  }
  void WriteMany(int count, const std::string& reason = "r") {
    for (int i = 0; i < count; ++i) {
      const Status written = Write(Record(reason + std::to_string(i)));
      ASSERT_TRUE(written.ok()) << written;
    }
  }
  Status Seal() {
    std::optional<Status> answer;
    log->Seal([&](Status status) { answer = std::move(status); });
    EXPECT_TRUE(RunUntil(loop, [&] { return answer.has_value(); }));
    return answer.value_or(Error(StatusCode::kInternal, "no answer"));
  }

  AuditVerdict Verify(std::optional<std::string> checkpoints = std::nullopt) const {
    const auto files = AuditFiles(options.path);
    EXPECT_TRUE(files.ok()) << files.status();
    return VerifyFiles(files.ok() ? *files : std::vector<std::string>{}, std::move(checkpoints));
  }
  AuditVerdict VerifyFiles(std::vector<std::string> files,
                           std::optional<std::string> checkpoints = std::nullopt) const {
    const auto verdict = VerifyAudit(
        {.files = std::move(files), .key_file = dir.Path("audit/audit.pub"), .checkpoints = std::move(checkpoints)});
    EXPECT_TRUE(verdict.ok()) << verdict.status();
    return verdict.ok() ? *verdict : AuditVerdict{};
  }

  std::vector<std::string> Lines() const { return LinesOf(options.path); }
  // Names in the log's directory that contain `part`, sorted.
  std::vector<std::string> Names(std::string_view part) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir.Path("audit"))) {
      if (entry.path().filename().string().find(part) != std::string::npos) names.push_back(entry.path().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  AuditHead HeadOf(const std::string& line) const {
    const auto parsed = ParseAuditLine(line);
    EXPECT_TRUE(parsed.ok()) << parsed.status() << line;
    return {parsed.ok() ? parsed->seq : 0, HashAuditLine(line).value()};
  }

  TempDir dir;
  EventLoop loop;
  FakeClock clock;
  AuditOptions options;
  std::vector<AuditHead> heads;
  std::unique_ptr<AuditLog> log;
};

}  // namespace lanyard::testing
