#include "node_agent/audit/audit_log.h"

#include "tests/unit/audit/audit_fixture.h"

namespace lanyard::testing {
namespace {

class AuditLogTest : public AuditTest {};

TEST_F(AuditLogTest, WritesFollowsAndGoesOnAfterARestart) {
  Open();
  WriteMany(3);
  ASSERT_TRUE(Seal().ok());
  std::vector<std::string> got;
  bool caught = false;
  auto tail = log->Follow(
      2, [&](std::string_view line) { got.emplace_back(line); },
      [&](const Status& status) {
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(got.size(), 2u);
        caught = true;
      });
  ASSERT_TRUE(RunUntil(loop, [&] { return caught; }));
  WriteMany(1, "x");
  ASSERT_TRUE(RunUntil(loop, [&] { return got.size() == 3; }));
  EXPECT_EQ(heads.back().seq, 6u);
  tail.reset();
  options.stored_head = heads.back();
  Open();
  EXPECT_EQ(log->health().text, "");
  WriteMany(1, "y");
  EXPECT_EQ(Lines().size(), 7u);
}

}  // namespace
}  // namespace lanyard::testing
