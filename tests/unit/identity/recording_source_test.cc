#include "node_agent/identity/recording_source.h"

#include "tests/support/fake_records.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

class RecordingSourceTest : public ::testing::Test {
 protected:
  // Asks, and waits for the answer.
  Result<X509Svid> Issue(const std::string& name, IssueCause cause) {
    std::optional<Result<X509Svid>> answer;
    source_.Issue({.entry = MakeEntry(name), .ttl = 60s, .cause = cause},
                  [&](Result<X509Svid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world_.loop, [&] { return answer.has_value(); }));
    return *std::move(answer);
  }
  Result<JwtSvid> IssueJwt(IssueCause cause) {
    std::optional<Result<JwtSvid>> answer;
    source_.IssueJwt({.entry = MakeEntry("bot"), .audiences = {"reports", "billing"}, .ttl = 60s, .cause = cause},
                     [&](Result<JwtSvid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world_.loop, [&] { return answer.has_value(); }));
    return *std::move(answer);
  }
  Result<WitSvid> IssueWit() {
    std::optional<Result<WitSvid>> answer;
    source_.IssueWit({.entry = MakeEntry("bot"), .ttl = 60s}, [&](Result<WitSvid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world_.loop, [&] { return answer.has_value(); }));
    return *std::move(answer);
  }
  void BreakDisk() {
    state_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
    audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
  }
  void RepairDisk() { state_.broken = audit_.broken = OkStatus(); }

  World world_;
  FakeSource signer_{world_.loop, world_.clock};
  FakeStateStore state_{world_.loop};
  FakeAuditLog audit_{world_.loop};
  RecordingSource source_{signer_, state_, audit_, world_.clock, /*most_unwritten=*/3};
};

TEST_F(RecordingSourceTest, EverySerialIsInTheStateAndOnRecordWhenItsSvidIsHandedOn) {
  const auto svid = Issue("bot", IssueCause::kNew);
  ASSERT_TRUE(svid.ok()) << svid.status();
  ASSERT_EQ(state_.serials.size(), 1u);
  EXPECT_EQ(state_.serials[0].serial, svid->serial_hex());
  EXPECT_EQ(state_.serials[0].spiffe_id, "spiffe://example.org/bot");
  EXPECT_EQ(state_.serials[0].not_after, svid->not_after());
  EXPECT_FALSE(state_.serials[0].authority.empty());
  ASSERT_EQ(audit_.records.size(), 1u);
  EXPECT_EQ(audit_.records[0].kind, AuditKind::kIssue);
  EXPECT_EQ(audit_.records[0].serial, svid->serial_hex());
  EXPECT_EQ(audit_.records[0].authority, state_.serials[0].authority);
}

TEST_F(RecordingSourceTest, EveryTokenIsOnRecordByItsIdBeforeItIsHandedOn) {
  const auto jwt = IssueJwt(IssueCause::kNew);
  const auto wit = IssueWit();
  ASSERT_TRUE(jwt.ok() && wit.ok());
  ASSERT_EQ(state_.serials.size(), 2u);
  EXPECT_EQ(state_.serials[0], (IssuedSerial{.authority = jwt->key_id(),
                                             .serial = jwt->token_id(),
                                             .spiffe_id = "spiffe://example.org/bot",
                                             .not_after = jwt->expires()}));
  EXPECT_EQ(state_.serials[1].serial, wit->token_id());
  ASSERT_EQ(audit_.records.size(), 2u);
  EXPECT_EQ(audit_.records[0].kind, AuditKind::kIssueJwt);
  EXPECT_EQ(audit_.records[0].serial, jwt->token_id());
  EXPECT_EQ(audit_.records[0].authority, jwt->key_id());
  EXPECT_EQ(audit_.records[0].resource, "reports billing");
  EXPECT_EQ(audit_.records[0].reason, "new");
  EXPECT_EQ(audit_.records[1].kind, AuditKind::kIssueWit);
  for (const AuditRecord& record : audit_.records) {
    EXPECT_EQ(record.reason.find(jwt->token()), std::string::npos) << "the record holds no token";
    EXPECT_EQ(record.resource.find(jwt->token()), std::string::npos);
  }
}

TEST_F(RecordingSourceTest, ANewTokenIsRefusedWhileTheDiskIsFullAndARenewalIsNot) {
  BreakDisk();
  EXPECT_EQ(IssueJwt(IssueCause::kNew).status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(IssueJwt(IssueCause::kRenewal).ok());
  EXPECT_EQ(source_.unwritten(), 1u);
}

TEST_F(RecordingSourceTest, ANewIdentityIsRefusedWhenEitherOfTheTwoCannotBeWritten) {
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
  const auto without_audit = Issue("bot", IssueCause::kNew);
  EXPECT_EQ(without_audit.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(without_audit.status()), HasSubstr("the disk is full"));
  audit_.broken = OkStatus();
  state_.broken = Error(StatusCode::kUnavailable, "read-only");
  EXPECT_FALSE(Issue("bot", IssueCause::kNew).ok());
}

TEST_F(RecordingSourceTest, ARenewalIsHandedOnWhileTheDiskIsFullAndHealthSaysSo) {
  BreakDisk();
  EXPECT_TRUE(Issue("bot", IssueCause::kRenewal).ok());
  EXPECT_EQ(source_.unwritten(), 1u);
  EXPECT_EQ(source_.health().level, HealthLevel::kDegraded);
  EXPECT_THAT(source_.health().text, HasSubstr("the disk is full"));
}

TEST_F(RecordingSourceTest, AFullBufferEndsRenewals) {
  BreakDisk();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Issue("bot", IssueCause::kRenewal).ok());
  EXPECT_EQ(Issue("bot", IssueCause::kRenewal).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(source_.unwritten(), 3u);
  EXPECT_EQ(source_.health().level, HealthLevel::kBroken);
}

TEST_F(RecordingSourceTest, WhatWaitedIsWrittenInItsOrderAsSoonAsThereIsRoom) {
  BreakDisk();
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(Issue(name, IssueCause::kRenewal).ok());
  RepairDisk();
  world_.Pass(3s);
  EXPECT_EQ(source_.unwritten(), 0u);
  EXPECT_EQ(source_.health().level, HealthLevel::kGood);
  ASSERT_EQ(state_.serials.size(), 3u);
  ASSERT_EQ(audit_.records.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(state_.serials[i].spiffe_id, "spiffe://example.org/" + std::string(1, static_cast<char>('a' + i)));
    EXPECT_EQ(audit_.records[i].spiffe_id, state_.serials[i].spiffe_id);
  }
}

TEST_F(RecordingSourceTest, ANewIdentityIsWrittenAfterWhatWaited) {
  BreakDisk();
  ASSERT_TRUE(Issue("old", IssueCause::kRenewal).ok());
  RepairDisk();
  ASSERT_TRUE(Issue("new", IssueCause::kNew).ok());
  ASSERT_EQ(state_.serials.size(), 2u);
  EXPECT_EQ(state_.serials[0].spiffe_id, "spiffe://example.org/old");
  EXPECT_EQ(state_.serials[1].spiffe_id, "spiffe://example.org/new");
}

TEST_F(RecordingSourceTest, OnlyThePartThatFailedIsWrittenAgain) {
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
  ASSERT_TRUE(Issue("bot", IssueCause::kRenewal).ok());
  audit_.broken = OkStatus();
  world_.Pass(3s);
  EXPECT_EQ(state_.serials.size(), 1u);
  EXPECT_EQ(audit_.records.size(), 1u);
}

TEST_F(RecordingSourceTest, ADiskThatDoesNotAnswerHoldsNoRenewalUpAndIsNotWrittenTwice) {
  state_.silent = true;
  std::optional<Result<X509Svid>> answer;
  source_.Issue({.entry = MakeEntry("bot"), .ttl = 60s, .cause = IssueCause::kRenewal},
                [&](Result<X509Svid> svid) { answer = std::move(svid); });
  world_.Pass(4s);
  EXPECT_FALSE(answer);
  world_.Pass(2s);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->ok()) << answer->status();
  EXPECT_EQ(source_.unwritten(), 1u);
  EXPECT_THAT(source_.health().text, HasSubstr("has not answered"));
  world_.Pass(10s);
  EXPECT_EQ(state_.serials.size(), 1u) << "asked again while the disk still had the first";

  state_.Answer();
  world_.Pass(3s);
  EXPECT_EQ(source_.unwritten(), 0u);
  EXPECT_EQ(audit_.records.size(), 1u);
  EXPECT_EQ(source_.health().level, HealthLevel::kGood);
}

TEST_F(RecordingSourceTest, ANewIdentityIsRefusedByADiskThatDoesNotAnswer) {
  state_.silent = true;
  std::optional<Result<X509Svid>> answer;
  source_.Issue({.entry = MakeEntry("bot"), .ttl = 60s}, [&](Result<X509Svid> svid) { answer = std::move(svid); });
  world_.Pass(6s);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status().code(), StatusCode::kUnavailable);
  state_.Answer();
  world_.Pass(1s);
  EXPECT_EQ(source_.unwritten(), 0u);
}

TEST_F(RecordingSourceTest, WhileTheBacklogIsWithASilentDiskRenewalsGoOnAndNewIdentitiesAreRefused) {
  BreakDisk();
  ASSERT_TRUE(Issue("old", IssueCause::kRenewal).ok());
  RepairDisk();
  state_.silent = true;
  world_.Pass(3s);  // the backlog is on its way to the disk
  EXPECT_TRUE(Issue("old", IssueCause::kRenewal).ok());
  std::optional<Result<X509Svid>> answer;
  source_.Issue({.entry = MakeEntry("new"), .ttl = 60s}, [&](Result<X509Svid> svid) { answer = std::move(svid); });
  world_.Pass(6s);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->ok());
  state_.Answer();
  world_.Pass(5s);
  EXPECT_EQ(source_.unwritten(), 0u);
  EXPECT_EQ(audit_.records.size(), 2u) << "the refused one was never handed out";
}

TEST_F(RecordingSourceTest, ItMayGoWhileADiskIsSilent) {
  state_.silent = true;
  bool answered = false;
  {
    RecordingSource source(signer_, state_, audit_, world_.clock);
    source.Issue({.entry = MakeEntry("bot"), .ttl = 60s, .cause = IssueCause::kRenewal},
                 [&](const Result<X509Svid>&) { answered = true; });
    world_.Settle();
  }
  world_.Pass(6s);  // its time is up, but nobody is there to keep it
  state_.Answer();
  world_.Pass(1s);
  EXPECT_FALSE(answered);
}

TEST_F(RecordingSourceTest, WhatCannotBeSignedIsNotOnRecord) {
  signer_.failure = Error(StatusCode::kUnavailable, "no authority");
  EXPECT_FALSE(Issue("bot", IssueCause::kNew).ok());
  EXPECT_TRUE(state_.serials.empty());
  EXPECT_TRUE(audit_.records.empty());
}

}  // namespace
}  // namespace lanyard::testing
