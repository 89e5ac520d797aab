#include "node_agent/rpc/log_limiter.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::seconds;

TEST(LogLimiterTest, OneLinePerCallerAndReasonAMinuteAndTheRestAsANumber) {
  LogLimiter limiter;
  const MonoTime start{std::chrono::hours(1)};
  EXPECT_EQ(limiter.Allow("uid 1000", "limit", start), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(limiter.Allow("uid 1000", "limit", start + seconds(59)), std::nullopt);
  EXPECT_EQ(limiter.Allow("uid 1000", "other", start), 0u);
  EXPECT_EQ(limiter.Allow("uid 1001", "limit", start), 0u);
  EXPECT_EQ(limiter.Allow("uid 1000", "limit", start + seconds(60)), 5u);
}

TEST(LogLimiterTest, ManyCallersCannotMakeItGrowOrTheLogFill) {
  LogLimiter limiter;
  const MonoTime start{std::chrono::hours(1)};
  int lines = 0;
  for (uint32_t uid = 0; uid < 100000; ++uid) lines += limiter.Allow(std::to_string(uid), "limit", start).has_value();
  EXPECT_LE(lines, 1025);
  EXPECT_TRUE(limiter.Allow("7", "limit", start + seconds(61)).has_value());
}

}  // namespace
}  // namespace lanyard
