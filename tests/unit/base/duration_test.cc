#include "node_agent/base/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::string ErrorOf(std::string_view text) {
  return std::string(Message(ParseDuration(text).status()));
}

TEST(DurationTest, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseDuration("90s").value(), seconds(90));
  EXPECT_EQ(ParseDuration("15m").value(), minutes(15));
  EXPECT_EQ(ParseDuration("24h").value(), hours(24));
  EXPECT_EQ(ParseDuration("720h").value(), hours(720));
  EXPECT_EQ(ParseDuration("500ms").value(), milliseconds(500));
  EXPECT_EQ(ParseDuration("1h30m").value(), minutes(90));
  EXPECT_EQ(ParseDuration("0s").value(), seconds(0));
}

TEST(DurationTest, RefusesANumberWithoutUnitAndSaysWhatToWrite) {
  EXPECT_EQ(ErrorOf("90"), "duration '90' has no unit: write for example 90s");
  EXPECT_EQ(ErrorOf("1h30"), "duration '1h30' has no unit: write for example 1h30s");
}

TEST(DurationTest, RefusesEverythingElse) {
  for (const char* text : {"", "s", "-5s", "+5s", " 5s", "5s ", "5 s", "1.5h", "5x", "5S", "1d", "m5", "0x5s", "5s5s",
                           "30m1h", "5ss", "∞"}) {
    EXPECT_EQ(ParseDuration(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(ErrorOf("1d"), HasSubstr("24h"));
  EXPECT_THAT(ErrorOf("1.5h"), HasSubstr("fraction"));
}

TEST(DurationTest, RefusesWhatDoesNotFitInsteadOfWrappingAround) {
  EXPECT_THAT(ErrorOf("2562048h"), HasSubstr("too long"));
  EXPECT_THAT(ErrorOf("99999999999999999999s"), HasSubstr("too long"));
  EXPECT_THAT(ErrorOf("2562047h9223372036s"), HasSubstr("too long"));
  EXPECT_TRUE(ParseDuration("2562047h").ok());
}

TEST(DurationTest, FormatsTheShortestTextThatReadsBack) {
  EXPECT_EQ(FormatDuration(seconds(0)), "0s");
  EXPECT_EQ(FormatDuration(seconds(90)), "1m30s");
  EXPECT_EQ(FormatDuration(hours(24)), "24h");
  EXPECT_EQ(FormatDuration(milliseconds(1500)), "1s500ms");
  EXPECT_EQ(FormatDuration(-minutes(2)), "-2m");
  for (const nanoseconds duration : {nanoseconds(1), nanoseconds(3'723'004'005'006), nanoseconds::max()}) {
    EXPECT_EQ(ParseDuration(FormatDuration(duration)).value(), duration);
  }
  EXPECT_EQ(FormatDuration(nanoseconds::min()), "-2562047h47m16s854ms775us808ns");
}

}  // namespace
}  // namespace lanyard
