#include "workload_api/identity_limits.h"

#include "tests/unit/workload_api/workload_fixture.h"

namespace lanyard {
namespace {

EntryPtr MakeEntry(const std::string& path) {
  return std::make_shared<const Entry>(Entry{.id = SpiffeId::Parse("spiffe://example.org" + path).value()});
}

class IdentityLimitsTest : public testing::Test {
 protected:
  FakeClock clock_;
  IdentityLimits limits_{clock_, {.calls_per_second = 2, .streams = 3}};
  const EntryPtr bot_ = MakeEntry("/bot");
};

TEST_F(IdentityLimitsTest, CallsCountUntilTheyAreOver) {
  std::vector<IdentityLimits::Ticket> open;
  for (int i = 0; i < 3; ++i) open.push_back(*limits_.Admit({bot_}));
  clock_.Advance(seconds(10));

  const auto refused = limits_.Admit({bot_});

  EXPECT_EQ(refused.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Message(refused.status()),
            "too many: spiffe://example.org/bot has reached its limit of 3 calls open at once "
            "(limits.per_identity.streams)");
  open.pop_back();
  EXPECT_TRUE(limits_.Admit({bot_}).ok());
}

TEST_F(IdentityLimitsTest, CallsThatAreOverAtOnceMeetTheRate) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limits_.Admit({bot_}).ok());
  EXPECT_NE(Message(limits_.Admit({bot_}).status()).find("limits.per_identity.calls_per_second"),
            std::string_view::npos);
  EXPECT_TRUE(limits_.Admit({MakeEntry("/other")}).ok());
  clock_.Advance(seconds(1));
  EXPECT_TRUE(limits_.Admit({bot_}).ok());
}

TEST_F(IdentityLimitsTest, ACallerOfTwoIdentitiesIsHeldToBothAndARefusalCostsNeither) {
  const EntryPtr other = MakeEntry("/other");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limits_.Admit({bot_}).ok());
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(limits_.Admit({other, bot_}).ok());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limits_.Admit({other}).ok());
}

TEST_F(IdentityLimitsTest, TwoEntriesOfOneIdentityCountOnce) {
  const auto ticket = limits_.Admit({bot_, MakeEntry("/bot")});
  const auto second = limits_.Admit({bot_}), third = limits_.Admit({bot_});
  EXPECT_TRUE(third.ok());
}

TEST_F(IdentityLimitsTest, WhatNobodyUsesIsForgotten) {
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(limits_.Admit({MakeEntry("/" + std::to_string(i))}).ok());
    clock_.Advance(seconds(1));
  }
  EXPECT_LE(limits_.size(), 64u);
}

TEST_F(WorkloadServiceTest, ACallAboveTheLimitOfItsIdentityIsUnavailableAndOnRecord) {
  services_->caller.identities.SetSettings({.calls_per_second = 1, .streams = 2});
  auto first = Open("FetchX509SVID");
  auto second = Open("FetchX509Bundles");
  Settle();
  auto third = Open("FetchX509SVID");
  Settle();

  EXPECT_FALSE(first->call.status);
  EXPECT_FALSE(second->call.status);
  ASSERT_TRUE(third->call.status);
  EXPECT_EQ(third->call.status->code(), StatusCode::kUnavailable);
  EXPECT_TRUE(third->call.messages.empty());
  EXPECT_NE(audit_.records.back().reason.find("spiffe://example.org/bot has reached its limit of 2 calls open"),
            std::string::npos);
  second.reset();
  first.reset();
  clock_.Advance(seconds(2));
  auto fourth = Open("FetchX509SVID");
  Settle();
  EXPECT_EQ(fourth->call.messages.size(), 1u);
}

TEST_F(WorkloadServiceTest, AFloodOfCallsCannotForceASecondIssuance) {
  services_->caller.identities.SetSettings({.calls_per_second = 100'000, .streams = 100'000});
  for (int i = 0; i < 500; ++i) {
    auto stream = Open("FetchX509SVID");
    RunUntilIdle(loop_);
    EXPECT_EQ(stream->call.messages.size(), 1u);
  }
  EXPECT_EQ(source_.issued, 1);
}

}  // namespace
}  // namespace lanyard
