#include "node_agent/rpc/fd_window.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <vector>

namespace lanyard {
namespace {

UniqueFd AnyFd() {
  return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST(FdWindowTest, NumbersRiseAlthoughLowerOnesAreFreeAgain) {
  FdWindow window(900, 905);
  std::vector<int> numbers;
  for (int i = 0; i < 5; ++i) numbers.push_back(window.Move(AnyFd())->get());  // closed at once each time
  EXPECT_EQ(numbers, (std::vector<int>{900, 901, 902, 903, 904}));
}

TEST(FdWindowTest, ComesRoundAndSkipsNumbersInUse) {
  FdWindow window(900, 903);
  UniqueFd first = *window.Move(AnyFd());
  EXPECT_EQ(window.Move(AnyFd())->get(), 901);
  EXPECT_EQ(window.Move(AnyFd())->get(), 902);
  EXPECT_EQ(window.Move(AnyFd())->get(), 901);
}

TEST(FdWindowTest, RefusesWhenEveryNumberIsInUse) {
  FdWindow window(900, 902);
  UniqueFd one = *window.Move(AnyFd());
  UniqueFd two = *window.Move(AnyFd());
  EXPECT_EQ(window.Move(AnyFd()).status().code(), StatusCode::kResourceExhausted);
  one.reset();
  EXPECT_EQ(window.Move(AnyFd())->get(), 900);
}

TEST(FdWindowTest, LeavesRoomBelowForOnePidfdPerConnection) {
  Result<FdWindow> window = FdWindow::Reserve();
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_GE(static_cast<size_t>(window->low()), window->size() + 256);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_LE(static_cast<rlim_t>(window->high()), limit.rlim_cur);
}

}  // namespace
}  // namespace lanyard
