#include "node_agent/app/text_output.h"

#include <gmock/gmock.h>

#include <sstream>

namespace lanyard {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::system_clock;

TEST(TextOutputTest, WhatComesFromElsewhereCannotMoveTheCursor) {
  EXPECT_EQ(Printable("a\x1b[2J\nb\x7f"), "a\\x1b[2J\\x0ab\\x7f");
  EXPECT_EQ(Printable("für"), "für");
  EXPECT_EQ(Printable("a\xc2\x9b"
                      "2J\xc2\x80\xc2\x9f\xc2\xa0\xc2"),
            "a\\xc2\\x9b2J\\xc2\\x80\\xc2\\x9f\xc2\xa0\xc2");
}

TEST(TextOutputTest, WritesTimesInUtc) {
  EXPECT_EQ(Utc(system_clock::time_point(seconds(1767225600))), "2026-01-01T00:00:00Z");
}

TEST(TextOutputTest, WritesDistancesInTheTwoLargestUnits) {
  const system_clock::time_point now(seconds(1767225600));
  EXPECT_EQ(FormatDistance(now + minutes(59) + seconds(30), now), "in 59m30s");
  EXPECT_EQ(FormatDistance(now - hours(3), now), "3h ago");
  EXPECT_EQ(FormatDistance(now + hours(24 * 30) + minutes(5), now), "in 30d");
  EXPECT_EQ(FormatDistance(now, now), "now");
}

TEST(TextOutputTest, AlignsColumnsByCharacters) {
  std::ostringstream out, err;
  PrintTable(Console{out, err}, {{"NAME", "X"}, {"für", "1"}});
  EXPECT_EQ(out.str(), "NAME  X\nfür   1\n");
}

}  // namespace
}  // namespace lanyard
