#include "node_agent/rpc/load_peak.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

TEST(LoadPeakTest, SaysOnceThatTheLoadFellToHalfOfItsPeak) {
  LoadPeak peak;
  peak.Reach(1000);
  EXPECT_FALSE(peak.FellByHalf(501));
  EXPECT_TRUE(peak.FellByHalf(500));
  EXPECT_FALSE(peak.FellByHalf(500));
  EXPECT_FALSE(peak.FellByHalf(251));
  EXPECT_TRUE(peak.FellByHalf(250));  // the peak since then was 500
}

TEST(LoadPeakTest, IgnoresPeaksThatAreNotWorthIt) {
  LoadPeak peak;
  peak.Reach(LoadPeak::kWorthIt - 1);
  EXPECT_FALSE(peak.FellByHalf(0));
  peak.Reach(LoadPeak::kWorthIt);
  EXPECT_TRUE(peak.FellByHalf(0));
  EXPECT_FALSE(peak.FellByHalf(0));
}

TEST(LoadPeakTest, IsQuietUnderASteadyLoadThatSwings) {
  LoadPeak peak;
  for (int i = 0; i < 1000; ++i) {
    peak.Reach(1000);
    EXPECT_FALSE(peak.FellByHalf(700));
  }
}

}  // namespace
}  // namespace lanyard
