#include "node_agent/rpc/fair_lines.h"

#include <gtest/gtest.h>

#include <memory>

namespace lanyard {
namespace {

TEST(FairLinesTest, WhatAnotherOwnerPutsInWaitsForOneOfTheFloodOnly) {
  FairLines<int, int> lines;
  for (int i = 0; i < 1000; ++i) lines.Push(1, i);
  lines.Push(2, -1);
  EXPECT_EQ(lines.Pop(), 0);
  EXPECT_EQ(lines.Pop(), -1);
  EXPECT_EQ(lines.Pop(), 1);
}

TEST(FairLinesTest, OneOwnersLineKeepsItsOrder) {
  FairLines<int, int> lines;
  for (int i = 0; i < 3; ++i) {
    lines.Push(1, i);
    lines.Push(2, 10 + i);
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(lines.Pop(), i);
    EXPECT_EQ(lines.Pop(), 10 + i);
  }
  EXPECT_EQ(lines.Pop(), std::nullopt);
}

TEST(FairLinesTest, AnOwnerWhoComesBackDoesNotOvertakeThoseWhoWait) {
  FairLines<int, int> lines;
  lines.Push(1, 1);
  lines.Push(2, 2);
  EXPECT_EQ(lines.Pop(), 1);
  lines.Push(1, 3);
  EXPECT_EQ(lines.Pop(), 2);
  EXPECT_EQ(lines.Pop(), 3);
}

TEST(FairLinesTest, OnlySoManyOfOneOwnerAreOutAtOnceAndOthersPass) {
  FairLines<int, int> lines(2);
  for (int i = 0; i < 4; ++i) lines.Push(1, i);
  EXPECT_EQ(lines.Pop(), 0);
  EXPECT_EQ(lines.Pop(), 1);
  EXPECT_FALSE(lines.has_turn());
  EXPECT_EQ(lines.Pop(), std::nullopt);
  lines.Push(2, 10);
  EXPECT_EQ(lines.Pop(), 10);
  lines.Over(1);
  EXPECT_TRUE(lines.has_turn());
  EXPECT_EQ(lines.Pop(), 2);
  EXPECT_EQ(lines.Pop(), std::nullopt);
  EXPECT_EQ(lines.size(), 1u);
  lines.Over(1);
  EXPECT_EQ(lines.Pop(), 3);
}

TEST(FairLinesTest, AnOwnerWhoseLineIsEmptyKeepsCountOfWhatIsOut) {
  FairLines<int, int> lines(1);
  lines.Push(1, 1);
  EXPECT_EQ(lines.Pop(), 1);
  lines.Push(1, 2);
  EXPECT_EQ(lines.Pop(), std::nullopt);
  lines.Over(1);
  EXPECT_EQ(lines.Pop(), 2);
  lines.Over(1);
  lines.Over(1);  // one too many changes nothing
  lines.Push(1, 3);
  lines.Push(1, 4);
  EXPECT_EQ(lines.Pop(), 3);
  EXPECT_EQ(lines.Pop(), std::nullopt);
}

TEST(FairLinesTest, CountsWhatIsInAllLines) {
  FairLines<int, std::unique_ptr<int>> lines;
  lines.Push(1, std::make_unique<int>(1));
  lines.Push(1, std::make_unique<int>(2));
  lines.Push(2, std::make_unique<int>(3));
  EXPECT_EQ(lines.size(), 3u);
  EXPECT_EQ(**lines.Pop(), 1);
  EXPECT_EQ(lines.size(), 2u);
  lines.Clear();
  EXPECT_EQ(lines.size(), 0u);
  EXPECT_FALSE(lines.Pop());
}

}  // namespace
}  // namespace lanyard
