#include "workload_api/client/snapshot_cell.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace lanyard {
namespace {

// Counts how many of it are alive.
struct Counted {
  Counted(std::atomic<int>& alive, int number) : alive_(alive), number_(number) { ++alive_; }
  ~Counted() { --alive_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  std::atomic<int>& alive_;
  const int number_;
};

TEST(SnapshotCellTest, AValueLivesAsLongAsSomebodyHoldsIt) {
  std::atomic<int> alive{0};
  std::shared_ptr<const Counted> held;
  {
    SnapshotCell<Counted> cell(std::make_shared<Counted>(alive, 1));
    held = cell.Read();
    cell.Replace(std::make_shared<Counted>(alive, 2));
    EXPECT_EQ(alive, 2);
    EXPECT_EQ(held->number_, 1);
    EXPECT_EQ(cell.Read()->number_, 2);
    held.reset();
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(SnapshotCellTest, ReadersSeeValuesInTheirOrderAndNoneIsLostOrFreedTwice) {
  std::atomic<int> alive{0};
  {
    SnapshotCell<Counted> cell(std::make_shared<Counted>(alive, 0));
    std::vector<std::jthread> readers;
    std::atomic<bool> wrong{false};
    for (int i = 0; i < 4; ++i) {
      readers.emplace_back([&](const std::stop_token& stop) {
        for (int last = 0; !stop.stop_requested();) {
          const int now = cell.Read()->number_;
          if (now < last) wrong = true;
          last = now;
        }
      });
    }
    for (int number = 1; number <= 20'000; ++number) cell.Replace(std::make_shared<Counted>(alive, number));
    readers.clear();
    EXPECT_FALSE(wrong);
    EXPECT_EQ(cell.Read()->number_, 20'000);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace lanyard
