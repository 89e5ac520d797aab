#include "node_agent/rpc/account.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_clock.h"

namespace lanyard {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class AccountTableTest : public testing::Test {
 protected:
  AccountPtr Of(const std::string& cgroup) { return table_.Find({"cgroup " + cgroup, "the other cgroups below /"}); }

  FakeClock clock_;
  AccountTable table_{
      clock_,
      {.connections = 3, .connections_per_second = 10, .calls_per_second = 10, .calls_in_flight = 2, .streams = 4}};
};

TEST_F(AccountTableTest, ConnectionsCountUntilTheyAreClosed) {
  const AccountPtr account = Of("/a");
  std::vector<Permit> open;
  for (int i = 0; i < 3; ++i) open.push_back(*table_.Connect(account));
  clock_.Advance(seconds(10));

  const Result<Permit> refused = table_.Connect(account);

  EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Message(refused.status()),
            "too many: cgroup /a has reached its limit of 3 connections open at once (limits.per_caller.connections)");
  open.pop_back();
  EXPECT_TRUE(table_.Connect(account).ok());
}

TEST_F(AccountTableTest, AnotherAccountIsNotHeldToIt) {
  std::vector<Permit> open;
  for (int i = 0; i < 3; ++i) open.push_back(*table_.Connect(Of("/a")));
  EXPECT_TRUE(table_.Connect(Of("/b")).ok());
}

TEST_F(AccountTableTest, ConnectionsThatAreClosedAtOnceMeetTheRate) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(table_.Connect(Of("/a")).ok());
  const Result<Permit> refused = table_.Connect(Of("/a"));
  EXPECT_NE(Message(refused.status()).find("limits.per_caller.connections_per_second"), std::string_view::npos);
  clock_.Advance(milliseconds(100));
  EXPECT_TRUE(table_.Connect(Of("/a")).ok());
  EXPECT_FALSE(table_.Connect(Of("/a")).ok());
}

TEST_F(AccountTableTest, ACallIsInFlightUntilItsFirstAnswerAndOpenUntilItIsOver) {
  const AccountPtr account = Of("/a");
  std::vector<CallPermit> calls;
  for (int i = 0; i < 2; ++i) calls.push_back(*table_.Call(account));
  EXPECT_NE(Message(table_.Call(account).status()).find("2 calls without an answer at once"), std::string_view::npos);

  for (CallPermit& call : calls) call.unanswered.reset();
  for (int i = 0; i < 2; ++i) calls.push_back(*table_.Call(account));
  for (CallPermit& call : calls) call.unanswered.reset();
  EXPECT_NE(Message(table_.Call(account).status()).find("limits.per_caller.streams"), std::string_view::npos);

  calls.clear();
  clock_.Advance(seconds(1));
  EXPECT_TRUE(table_.Call(account).ok());
}

TEST_F(AccountTableTest, CallsAreHeldToTheirRateAfterABurst) {
  int let_in = 0;
  for (int i = 0; i < 100; ++i) let_in += table_.Call(Of("/a")).ok() ? 1 : 0;
  EXPECT_EQ(let_in, 4) << "as many at once as may be open";
  clock_.Advance(seconds(1));
  for (int i = 0; i < 100; ++i) let_in += table_.Call(Of("/a")).ok() ? 1 : 0;
  EXPECT_EQ(let_in, 8);
  const auto refused = table_.refused();
  EXPECT_EQ(refused[static_cast<size_t>(CallerLimit::kCallRate)], 192u);
  EXPECT_EQ(refused[static_cast<size_t>(CallerLimit::kStreams)], 0u);
}

TEST_F(AccountTableTest, WhoGoesOnCallingAboveItsLimitIsShutOutForLongerEachTime) {
  const AccountPtr account = Of("/a");
  const auto flood = [&] {
    for (int i = 0; i < 600; ++i) static_cast<void>(table_.Call(account));
  };
  for (int i = 0; i < 500; ++i) static_cast<void>(table_.Call(account));
  EXPECT_FALSE(table_.IsShutOut(*account)) << "a burst of refusals is no flood";
  flood();
  EXPECT_TRUE(table_.IsShutOut(*account));
  EXPECT_FALSE(table_.Connect(account).ok());
  EXPECT_TRUE(table_.Connect(Of("/b")).ok());
  clock_.Advance(seconds(1));
  EXPECT_FALSE(table_.IsShutOut(*account));
  EXPECT_TRUE(table_.Connect(account).ok());
  flood();
  clock_.Advance(milliseconds(1999));
  EXPECT_TRUE(table_.IsShutOut(*account));
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(table_.IsShutOut(*account));
  clock_.Advance(seconds(61));
  flood();
  clock_.Advance(seconds(1));
  EXPECT_FALSE(table_.IsShutOut(*account)) << "a quiet minute is forgiven";
}

TEST_F(AccountTableTest, WhoComesBackLaterEachTimeIsNeverShutOut) {
  const AccountPtr account = Of("/a");
  for (int second = 0; second < 100; ++second) {
    for (int i = 0; i < 50; ++i) static_cast<void>(table_.Call(account));
    clock_.Advance(seconds(1));
    EXPECT_FALSE(table_.IsShutOut(*account));
  }
}

TEST_F(AccountTableTest, WhatIsOpenOutlivesALowerLimit) {
  const AccountPtr account = Of("/a");
  const Result<Permit> one = table_.Connect(account), two = table_.Connect(account);
  table_.SetLimits({.connections = 1});
  EXPECT_EQ(account->connections, 2u);
  EXPECT_FALSE(table_.Connect(account).ok());
}

TEST_F(AccountTableTest, AnAccountIsForgottenOnlyOnceItIsLikeNew) {
  {
    const Result<Permit> held = table_.Connect(Of("/held"));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(table_.Connect(Of("/used")).ok());
    for (int i = 0; i < 2000; ++i) Of("/" + std::to_string(i));
    EXPECT_LT(table_.size(), 1030u);
    EXPECT_FALSE(table_.Connect(Of("/used")).ok()) << "forgotten, and let in again";
    EXPECT_EQ(Of("/held")->connections, 1u);
  }
  clock_.Advance(seconds(10));
  for (int i = 0; i < 5000; ++i) Of("/" + std::to_string(i));
  EXPECT_LT(table_.size(), 1030u);
}

TEST_F(AccountTableTest, AThousandNewCgroupsBelowOneParentShareAnAccountAndLeaveOthersTheirs) {
  std::vector<Permit> open;
  size_t let_in = 0;
  for (int i = 0; i < 20000; ++i) {
    Result<Permit> permit =
        table_.Connect(table_.Find({"cgroup /x/" + std::to_string(i), "the other cgroups below /x"}));
    if (!permit.ok()) continue;
    open.push_back(*std::move(permit));
    ++let_in;
  }
  EXPECT_LE(let_in, 1024u + 3);
  EXPECT_LE(table_.size(), 1025u);
  const AccountPtr honest = table_.Find({"cgroup /y/1", "the other cgroups below /y"});
  EXPECT_EQ(honest->name.own, "cgroup /y/1");
  EXPECT_TRUE(table_.Connect(honest).ok());
}

TEST_F(AccountTableTest, CgroupsBelowThousandsOfParentsCannotGrowTheTableEither) {
  std::vector<Permit> open;
  for (int i = 0; i < 30000; ++i) {
    const std::string parent = "/p" + std::to_string(i / 10);
    Result<Permit> permit =
        table_.Connect(table_.Find({fmt::format("cgroup {}/{}", parent, i), "the other cgroups below " + parent}));
    if (permit.ok()) open.push_back(*std::move(permit));
  }
  EXPECT_LE(table_.size(), 4097u);
  EXPECT_LE(open.size(), 4096u + 3);
  open.clear();
  clock_.Advance(seconds(10));
  EXPECT_EQ(table_.Find({"cgroup /late", "the other cgroups below /"})->name.own, "cgroup /late");
  EXPECT_LE(table_.size(), 2u) << "the flood is forgotten once it is over";
}

}  // namespace
}  // namespace lanyard
