#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "node_agent/app/cli.h"
#include "node_agent/audit/audit_log.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/temp_dir.h"

namespace lanyard {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class CliAuditTest : public testing::Test {
 protected:
  CliAuditTest() {
    FakeClock clock;
    AuditOptions options;
    options.path = path;
    options.key_path = dir.Path("audit/audit.key");
    options.checkpoints_to = copies;
    options.reserve_bytes = 0;
    auto log = AuditLog::Open(options, loop, clock);
    if (!log.ok()) {
      ADD_FAILURE() << log.status();
      return;
    }
    for (int i = 0; i < 3; ++i) (*log)->Append(AuditRecord{.kind = AuditKind::kAgent, .reason = "started"});
    bool sealed = false;
    (*log)->Seal([&](const Status& status) { sealed = status.ok(); });
    EXPECT_TRUE(RunUntil(loop, [&] { return sealed; }));
  }

  // `lanyard audit verify` with these arguments.
  int Verify(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"audit", "verify"});
    std::ostringstream out_stream, err_stream;
    const int code = RunCommandLine(std::move(arguments), Console{out_stream, err_stream});
    out = out_stream.str();
    err = err_stream.str();
    return code;
  }

  TempDir dir;
  EventLoop loop;
  std::string path = dir.Path("audit/audit.jsonl"), copies = dir.Path("copies"), out, err;
};

TEST_F(CliAuditTest, SaysThatALogIsIntactAndWhatThatProves) {
  EXPECT_EQ(Verify({path}), kExitOk);
  EXPECT_THAT(out, StartsWith("intact: 5 records in 1 file, seq 1 to 5, 1 valid checkpoint; signed up to seq 4\n"));
  EXPECT_THAT(out, AllOf(HasSubstr("note: the key is " + dir.Path("audit/audit.pub")), HasSubstr("--key"),
                         HasSubstr("without --checkpoints")));
  EXPECT_THAT(err, IsEmpty());
}

TEST_F(CliAuditTest, WithKeyAndCopiesFromElsewhereNothingIsLeftToSay) {
  const std::string key = dir.Path("kept.pub");
  std::filesystem::copy_file(dir.Path("audit/audit.pub"), key);
  EXPECT_EQ(Verify({"--key", key, "--checkpoints", copies, path}), kExitOk);
  EXPECT_THAT(out, Not(HasSubstr("note:")));
}

TEST_F(CliAuditTest, AChangedLogIsExitCodeOneAndTheLineIsNamed) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::string changed = text.str();
  changed.replace(changed.find("started"), 7, "stopped");
  std::ofstream(path) << changed;
  EXPECT_EQ(Verify({path}), kExitFailed);
  EXPECT_THAT(out, AllOf(StartsWith("NOT intact: "), HasSubstr("problem: " + path + ":3: ")));
  EXPECT_EQ(Verify({path, "--output", "json"}), kExitFailed);
  const nlohmann::json json = nlohmann::json::parse(out, nullptr, false);
  EXPECT_EQ(json["intact"], false);
  EXPECT_EQ(json["problems"].size(), 1u);
}

TEST_F(CliAuditTest, WhatCannotBeReadIsExitCodeOneOnStderrAndWrongUsageTwo) {
  EXPECT_EQ(Verify({dir.Path("none"), "--key", dir.Path("audit/audit.pub")}), kExitFailed);
  EXPECT_THAT(err, AllOf(StartsWith("lanyard: "), HasSubstr(dir.Path("none"))));
  EXPECT_THAT(out, IsEmpty());
  EXPECT_EQ(Verify({path, "--config", "x"}), kExitUsage);
  EXPECT_EQ(Verify({"--output", "xml"}), kExitUsage);
  EXPECT_EQ(Verify({"--help"}), kExitOk);
}

}  // namespace
}  // namespace lanyard
