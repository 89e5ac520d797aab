#include "workload_api/access_log.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_records.h"
#include "tests/support/loop_driver.h"

namespace lanyard {
namespace {

using std::chrono::seconds;

class AccessLogTest : public testing::Test {
 protected:
  void Deny(uid_t uid, std::string_view found, pid_t pid = 7) {
    AuditRecord record{.kind = AuditKind::kFetch,
                       .caller = AuditCaller{.pid = pid, .uid = uid, .selectors = {}},
                       .resource = "/Fetch"};
    access_.Deny(std::move(record), Error(StatusCode::kPermissionDenied, "no entry"), found);
  }
  uint64_t CountOnRecord() const {
    uint64_t count = 0;
    for (const AuditRecord& record : audit_.records) count += record.count;
    return count;
  }

  EventLoop loop_;
  FakeClock clock_;
  FakeAuditLog audit_{loop_};
  AccessLog access_{audit_, clock_};
};

TEST_F(AccessLogTest, WritesTheFirstOfEqualDenialsAndCountsTheOthersOnceAMinute) {
  for (int i = 0; i < 5; ++i) Deny(1000, "unix:uid:1000", 100 + i);
  ASSERT_EQ(audit_.records.size(), 1u);
  EXPECT_EQ(audit_.records[0].decision, AuditDecision::kDeny);
  EXPECT_EQ(audit_.records[0].reason, "no entry");
  EXPECT_EQ(audit_.records[0].caller->pid, 100);

  clock_.Advance(seconds(60));

  ASSERT_EQ(audit_.records.size(), 2u);
  EXPECT_EQ(audit_.records[1].count, 4u);
  EXPECT_EQ(audit_.records[1].caller->uid, 1000u);
  EXPECT_EQ(access_.denials(), 5u);
}

TEST_F(AccessLogTest, OnlyTheFirstRecordSaysWhatWasFound) {
  for (int i = 0; i < 2; ++i) {
    AuditRecord record{.kind = AuditKind::kFetch,
                       .caller = AuditCaller{.pid = 7, .uid = 1000, .selectors = {"unix:uid:1000"}}};
    access_.Deny(std::move(record), Error(StatusCode::kPermissionDenied, "no entry"), "unix:uid:1000",
                 [] { return std::vector<std::string>{"spiffe://example.org/a"}; });
  }
  clock_.Advance(seconds(60));
  ASSERT_EQ(audit_.records.size(), 2u);
  EXPECT_EQ(audit_.records[0].caller->selectors.size(), 1u);
  EXPECT_EQ(audit_.records[0].nearly.size(), 1u);
  EXPECT_TRUE(audit_.records[1].caller->selectors.empty());
  EXPECT_TRUE(audit_.records[1].nearly.empty());
}

TEST_F(AccessLogTest, TellsDenialsOfTwoContainersOfOneUidApart) {
  Deny(1000, "process:cgroup:/a");
  Deny(1000, "process:cgroup:/b");
  EXPECT_EQ(audit_.records.size(), 2u);
}

TEST_F(AccessLogTest, LooksForEntriesNearlyEarnedOnlyForADenialThatIsWritten) {
  int looks = 0;
  const auto nearly = [&looks] {
    ++looks;
    return std::vector<std::string>{"spiffe://example.org/a: 1 of 2 selectors; missing unix:uid:2"};
  };
  for (int i = 0; i < 5; ++i) {
    AuditRecord record{.kind = AuditKind::kFetch, .caller = AuditCaller{.pid = 7, .uid = 1000, .selectors = {}}};
    access_.Deny(std::move(record), Error(StatusCode::kPermissionDenied, "no entry"), "unix:uid:1000", nearly);
  }
  EXPECT_EQ(looks, 1);
  ASSERT_EQ(audit_.records.size(), 1u);
  EXPECT_EQ(audit_.records[0].nearly, nearly());
}

TEST_F(AccessLogTest, TellsTwoReasonsApartAndOneReasonThatNamesDifferentPidsNot) {
  const auto deny = [this](std::string_view why) {
    AuditRecord record{.kind = AuditKind::kAdmin, .caller = AuditCaller{.pid = 7, .uid = 0, .selectors = {}}};
    access_.Deny(std::move(record), Error(StatusCode::kPermissionDenied, "{}", why), "");
  };
  deny("process 7 is in another pid namespace");
  deny("process 8 is in another user namespace");
  deny("process 19 is in another pid namespace");
  ASSERT_EQ(audit_.records.size(), 2u);
  EXPECT_EQ(audit_.records[1].reason, "process 8 is in another user namespace");
}

TEST_F(AccessLogTest, WritesAtOnceAgainAfterAMinuteOfQuiet) {
  Deny(1000, "x");
  clock_.Advance(seconds(61));
  Deny(1000, "x");
  EXPECT_EQ(audit_.records.size(), 2u);
  EXPECT_EQ(audit_.records[1].count, 1u);
}

TEST_F(AccessLogTest, AFloodOfDifferentDenialsIsBoundedAndStillCountedWhole) {
  for (uid_t uid = 0; uid < 5000; ++uid) Deny(uid, "x");
  clock_.Advance(seconds(60));
  EXPECT_LE(audit_.records.size(), 1026u);
  EXPECT_EQ(CountOnRecord(), 5000u);
  clock_.Advance(seconds(60));
  EXPECT_EQ(CountOnRecord(), 5000u);
}

TEST_F(AccessLogTest, OneUserWhoVariesWhatIsFoundNeitherFloodsTheRecordNorHidesTheOthers) {
  for (int i = 0; i < 5000; ++i) Deny(1000, fmt::format("unix:path:/tmp/x{}", i));
  EXPECT_LE(audit_.records.size(), 65u);
  EXPECT_NE(audit_.records.back().reason.find("not told apart"), std::string::npos);
  EXPECT_EQ(audit_.records.back().caller->uid, 1000u);
  Deny(1001, "unix:path:/tmp/x");
  EXPECT_EQ(audit_.records.back().caller->uid, 1001u);
  EXPECT_EQ(audit_.records.back().reason, "no entry");
  clock_.Advance(seconds(60));
  EXPECT_LE(audit_.records.size(), 67u);
  EXPECT_EQ(CountOnRecord(), 5001u);
}

TEST_F(AccessLogTest, CountsOnTheWayAreWrittenWhenItEnds) {
  {
    AccessLog access(audit_, clock_);
    AuditRecord record{
        .kind = AuditKind::kFetch, .caller = AuditCaller{.pid = 7, .uid = 1, .selectors = {}}, .resource = "/Fetch"};
    for (int i = 0; i < 3; ++i) access.Deny(record, Error(StatusCode::kPermissionDenied, "no"), "");
  }
  EXPECT_EQ(CountOnRecord(), 3u);
}

TEST_F(AccessLogTest, AGrantIsAnsweredOnlyWhenEveryRecordOfItIsWritten) {
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
  std::optional<Status> answer;
  access_.Grant({AuditRecord{}, AuditRecord{}}, [&](Status status) { answer = std::move(status); });
  EXPECT_FALSE(answer) << "never inside the call";
  RunUntilIdle(loop_);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), StatusCode::kResourceExhausted);
}

TEST_F(AccessLogTest, AGrantIsRefusedByADiskThatDoesNotAnswer) {
  audit_.silent = true;
  std::vector<Status> answers;
  access_.Grant({AuditRecord{}, AuditRecord{}}, [&](Status status) { answers.push_back(std::move(status)); });
  clock_.Advance(kDiskPatience - seconds(1));
  EXPECT_TRUE(answers.empty());
  clock_.Advance(seconds(2));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].code(), StatusCode::kUnavailable);
}

TEST_F(AccessLogTest, CorrelationIdsOfTwoRunsDiffer) {
  AccessLog next(audit_, clock_);
  EXPECT_NE(access_.NewCorrelationId(), access_.NewCorrelationId());
  EXPECT_NE(access_.NewCorrelationId(), next.NewCorrelationId());
}

}  // namespace
}  // namespace lanyard
