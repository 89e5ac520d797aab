#include "node_agent/base/bus_service.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <optional>

#include "node_agent/base/fd.h"
#include "tests/support/fake_clock.h"
#include "tests/support/loop_driver.h"
#include "tests/support/test_bus.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr const char* kName = "org.example.Oracle";

class BusServiceTest : public testing::Test {
 protected:
  std::unique_ptr<BusService::Ticket> Ask(std::string member) {
    const size_t index = replies_.size();
    replies_.emplace_back();
    return service_->Ask({.path = "/oracle", .interface = kName, .member = std::move(member)},
                         [this, index](BusReply reply) {
                           EXPECT_FALSE(replies_[index].has_value()) << "answered twice";
                           replies_[index] = std::move(reply);
                           ++answered_;
                         });
  }
  bool Answered(size_t count) {
    return RunUntil(loop_, [&] { return answered_ >= count || (oracle_ && oracle_->Work()); });
  }
  // Answers a question with its own name; "Hold" waits until a question comes that is not.
  void Take(sd_bus_message* message) {
    heard_.emplace_back(sd_bus_message_get_member(message));
    if (heard_.back() == "Hold") return held_.push_back(sd_bus_message_ref(message));
    sd_bus_reply_method_return(message, "s", heard_.back().c_str());
  }
  void StartOracle() {
    oracle_.emplace(bus_, kName, [this](sd_bus_message* message) { Take(message); });
  }
  void TearDown() override {
    for (sd_bus_message* message : held_) sd_bus_message_unref(message);
  }
  std::string Text(size_t index) const {
    const Result<BusValue>& value = replies_[index]->value;
    return value.ok() ? std::get<std::string>(*value) : std::string(Message(value.status()));
  }
  StatusCode Code(size_t index) const { return replies_[index]->value.status().code(); }

  EventLoop loop_;
  FakeClock clock_;
  TestBus bus_;
  std::optional<BusService> service_{std::in_place, bus_.socket(), kName, loop_, clock_};
  std::optional<TestService> oracle_;
  std::vector<std::string> heard_;
  std::vector<sd_bus_message*> held_;
  std::vector<std::optional<BusReply>> replies_;
  size_t answered_ = 0;
};

TEST_F(BusServiceTest, QuestionsReachTheServiceInTheirOrderOverOneConnection) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  std::vector<std::unique_ptr<BusService::Ticket>> tickets;
  for (const char* member : {"First", "Second", "Third"}) tickets.push_back(Ask(member));
  EXPECT_EQ(answered_, 0u);
  ASSERT_TRUE(Answered(3));
  EXPECT_THAT(heard_, ElementsAre("First", "Second", "Third"));
  EXPECT_EQ(Text(0), "First");
  EXPECT_EQ(Text(2), "Third");
}

TEST_F(BusServiceTest, ACancelledQuestionIsNeverAnswered) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  auto cancelled = Ask("Cancelled"), sent = Ask("Hold"), kept = Ask("Kept");
  cancelled.reset();
  ASSERT_TRUE(Answered(1));
  sent.reset();
  sd_bus_reply_method_return(held_.front(), "s", "late");
  auto last = Ask("Last");
  ASSERT_TRUE(Answered(2));
  EXPECT_THAT(heard_, ElementsAre("Hold", "Kept", "Last"));
  EXPECT_FALSE(replies_[0] || replies_[1]);
}

TEST_F(BusServiceTest, FewerQuestionsThanTheBusAllowsAreUnderWayAtOnce) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  std::vector<std::unique_ptr<BusService::Ticket>> tickets;
  for (int i = 0; i < 300; ++i) tickets.push_back(Ask("Hold"));
  ASSERT_TRUE(RunUntil(loop_, [&] { return oracle_->Work() || held_.size() >= 64; }));
  for (int i = 0; i < 3; ++i) loop_.RunOnce(10), oracle_->Work();
  EXPECT_EQ(held_.size(), 64u);
  for (size_t next = 0; next < 300; ++next) {
    ASSERT_TRUE(RunUntil(loop_, [&] { return oracle_->Work() || held_.size() > next; }));
    sd_bus_reply_method_return(held_[next], "s", "at last");
  }
  ASSERT_TRUE(Answered(300));
  EXPECT_EQ(Text(299), "at last");
}

TEST_F(BusServiceTest, TooManyQuestionsAreRefusedAndNotKept) {
  LANYARD_NEEDS_BUS(bus_);
  std::vector<std::unique_ptr<BusService::Ticket>> tickets;
  for (int i = 0; i < 4100; ++i) tickets.push_back(Ask("Hold"));
  StartOracle();
  ASSERT_TRUE(Answered(4));
  EXPECT_EQ(Code(4099), StatusCode::kResourceExhausted);
  EXPECT_FALSE(replies_[4095]);
}

TEST_F(BusServiceTest, AServiceThatLeavesWithTheQuestionLosesIt) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  auto held = Ask("Hold");
  ASSERT_TRUE(RunUntil(loop_, [&] { return oracle_->Work() || !held_.empty(); }));
  oracle_->Leave();
  ASSERT_TRUE(Answered(1));
  EXPECT_EQ(Code(0), StatusCode::kAborted) << Text(0);
  auto meanwhile = Ask("Meanwhile");
  ASSERT_TRUE(Answered(2));
  EXPECT_EQ(Code(1), StatusCode::kUnavailable);
  EXPECT_THAT(Text(1), HasSubstr("it is not on the bus at this moment"));
  oracle_->Come();
  auto again = Ask("Again");
  ASSERT_TRUE(Answered(3));
  EXPECT_EQ(Text(2), "Again");
}

TEST_F(BusServiceTest, AnotherOwnerOfTheNameIsFoundWhenTheFirstHasLeftSilently) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  auto first = Ask("First");
  ASSERT_TRUE(Answered(1));
  oracle_->Leave();
  oracle_->Come();
  auto second = Ask("Second");
  ASSERT_TRUE(Answered(2));
  EXPECT_EQ(Code(1), StatusCode::kAborted) << Text(1);
  auto third = Ask("Third");
  ASSERT_TRUE(Answered(3));
  EXPECT_EQ(Text(2), "Third");
}

TEST_F(BusServiceTest, ANewBusIsFoundAfterTheOldOneHasGone) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  auto held = Ask("Hold");
  ASSERT_TRUE(RunUntil(loop_, [&] { return oracle_->Work() || !held_.empty(); }));
  for (sd_bus_message* message : held_) sd_bus_message_unref(message);
  held_.clear();
  oracle_.reset();
  bus_.Stop();
  ASSERT_TRUE(Answered(1));
  EXPECT_EQ(Code(0), StatusCode::kAborted) << Text(0);
  auto meanwhile = Ask("Meanwhile");
  ASSERT_TRUE(Answered(2));
  EXPECT_EQ(Code(1), StatusCode::kNotFound) << Text(1);
  bus_.Start();
  StartOracle();
  auto again = Ask("Again");
  ASSERT_TRUE(Answered(3));
  EXPECT_EQ(Text(2), "Again");
}

TEST_F(BusServiceTest, ABusThatTakesTheConnectionAndSaysNothingFailsAllWhoWait) {
  TempDir dir;
  const UniqueFd silent(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strcpy(address.sun_path, dir.Path("bus").c_str());
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(silent.get(), 1), 0);
  service_.emplace(dir.Path("bus"), kName, loop_, clock_);
  auto ticket = Ask("Anything");
  ASSERT_TRUE(RunUntil(loop_, [&] { return clock_.NextAlarm().has_value(); }));
  clock_.Advance(4s);
  EXPECT_EQ(answered_, 0u);
  clock_.Advance(1s);
  ASSERT_EQ(answered_, 1u);
  EXPECT_EQ(Code(0), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Text(0),
            "ask org.example.Oracle on the system bus " + dir.Path("bus") + " for Anything(): the bus does not answer");
}

TEST_F(BusServiceTest, ASilentServiceGetsAnotherConnectionAfterAMinute) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  auto held = Ask("Hold");
  ASSERT_TRUE(RunUntil(loop_, [&] { return oracle_->Work() || !held_.empty(); }));
  clock_.Advance(61s);
  auto next = Ask("Next");
  ASSERT_TRUE(Answered(2));
  EXPECT_EQ(Code(0), StatusCode::kAborted);
  EXPECT_EQ(Text(1), "Next");
}

TEST_F(BusServiceTest, ABusThatKnowsUsByAnotherPidIsNotAsked) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root for a pid namespace";
  LANYARD_NEEDS_BUS(bus_);
  TestBus elsewhere({"unshare", "--pid", "--fork", "--kill-child"});
  LANYARD_NEEDS_BUS(elsewhere);
  service_.emplace(elsewhere.socket(), kName, loop_, clock_);
  oracle_.emplace(elsewhere, kName, [this](sd_bus_message* message) { Take(message); });
  auto ticket = Ask("Anything");
  ASSERT_TRUE(Answered(1));
  EXPECT_EQ(Code(0), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Text(0), HasSubstr("run the node agent in the host's pid namespace"));
  EXPECT_TRUE(heard_.empty());
}

TEST_F(BusServiceTest, ASocketInADirectoryThatOthersMayWriteIsNotConnectedTo) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  ASSERT_EQ(chmod(bus_.socket().substr(0, bus_.socket().rfind('/')).c_str(), 0777), 0);
  auto ticket = Ask("Anything");
  ASSERT_TRUE(Answered(1));
  EXPECT_EQ(Code(0), StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(0), HasSubstr("can be changed by other users"));
}

TEST_F(BusServiceTest, MayBeDestroyedByTheOneItAnswers) {
  LANYARD_NEEDS_BUS(bus_);
  StartOracle();
  bool done = false;
  auto ticket = service_->Ask({.path = "/oracle", .interface = kName, .member = "Last"}, [&](const BusReply&) {
    service_.reset();
    done = true;
  });
  auto other = Ask("Other");
  EXPECT_TRUE(RunUntil(loop_, [&] { return oracle_->Work() || done; }));
  EXPECT_EQ(answered_, 0u);
}

TEST(BusPathLabelTest, IsOneNameRightBelowThePrefixAndNothingElse) {
  EXPECT_EQ(BusPathLabel("/org/units/refund_2eservice", "/org/units"), "refund.service");
  for (const char* path : {"/org/units", "/org/units/", "/org/unitss/a", "/org/units/a/b_2eservice", "/org", ""})
    EXPECT_EQ(BusPathLabel(path, "/org/units"), std::nullopt) << path;
}

}  // namespace
}  // namespace lanyard
