// What callers are given is on record before they have it.
#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

TEST_F(WorkloadServiceTest, AFetchIsOnRecordWithCallerSelectorsSerialAndPolicy) {
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto records = audit_.Of(AuditKind::kFetch);
  ASSERT_EQ(records.size(), 1u);
  const AuditRecord& record = records[0];
  EXPECT_EQ(record.decision, AuditDecision::kAllow);
  EXPECT_EQ(record.spiffe_id, "spiffe://example.org/bot");
  EXPECT_EQ(record.caller->pid, getpid());
  EXPECT_EQ(record.caller->uid, geteuid());
  EXPECT_EQ(record.caller->selectors, std::vector<std::string>{"unix:uid:1000"});
  EXPECT_EQ(record.resource, "/SpiffeWorkloadAPI/FetchX509SVID");
  EXPECT_EQ(record.policy->revision, registry_->registry()->revision());
  EXPECT_EQ(record.policy->revision.size(), 64u);
  EXPECT_FALSE(record.correlation_id.empty());
  const auto leaf = Certificate::FromDer(stream->call.Last<X509SVIDResponse>().svids(0).x509_svid());
  EXPECT_EQ(record.serial, leaf->serial_hex());
  EXPECT_EQ(record.not_after, leaf->not_after());
}

TEST_F(WorkloadServiceTest, NothingIsHandedOutThatCannotBePutOnRecord) {
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles"}) {
    auto stream = Open(method);
    Settle();
    ASSERT_TRUE(stream->call.status) << method;
    EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable) << method;
    EXPECT_NE(Message(*stream->call.status).find("the disk is full"), std::string_view::npos);
    EXPECT_TRUE(stream->call.messages.empty()) << method;
  }
}

TEST_F(WorkloadServiceTest, AnOpenStreamIsRenewedWhileNothingCanBePutOnRecord) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");

  clock_.Advance(seconds(35));
  Settle();

  EXPECT_FALSE(stream->call.status);
  EXPECT_EQ(stream->call.messages.size(), 2u);
}

TEST_F(WorkloadServiceTest, AnOpenStreamIsNotShownANewEntryThatCannotBePutOnRecord) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  audit_.broken = Error(StatusCode::kResourceExhausted, "the disk is full");

  SetRegistry(std::string(kOneEntry) +
              "  - spiffe_id: spiffe://example.org/second\n    selectors: [\"unix:uid:1000\"]\n");
  clock_.Advance(seconds(40));
  Settle();
  ASSERT_FALSE(stream->call.status);
  EXPECT_EQ(stream->call.Last<X509SVIDResponse>().svids_size(), 1);

  if (stream->call.sending()) stream->call.Deliver();
  audit_.broken = OkStatus();
  clock_.Advance(seconds(40));
  Settle();
  if (stream->call.sending()) stream->call.Deliver();
  Settle();
  EXPECT_EQ(stream->call.Last<X509SVIDResponse>().svids_size(), 2);
}

TEST_F(WorkloadServiceTest, ARenewalIsNotAnotherFetch) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  clock_.Advance(seconds(35));
  Settle();
  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_EQ(audit_.Of(AuditKind::kFetch).size(), 1u);
}

TEST_F(WorkloadServiceTest, TheEndOfAStreamIsOnRecordUnderTheSameCorrelationId) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream.reset();

  const auto released = audit_.Of(AuditKind::kRelease);
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].spiffe_id, "spiffe://example.org/bot");
  EXPECT_EQ(released[0].correlation_id, audit_.Of(AuditKind::kFetch)[0].correlation_id);
}

TEST_F(WorkloadServiceTest, AnIdentityThatTheRegistryTakesAwayIsReleasedOnRecord) {
  SetRegistry(kTwoEntries);
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();

  SetRegistry("entries:\n  - {spiffe_id: \"spiffe://example.org/ant\", selectors: [\"unix:uid:1000\"]}\n");

  const auto released = audit_.Of(AuditKind::kRelease);
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].spiffe_id, "spiffe://example.org/zebra");
  EXPECT_NE(released[0].reason.find("registry"), std::string::npos);
}

TEST_F(WorkloadServiceTest, ADenialIsOnRecordWithWhatWasFound) {
  selector_ = "unix:uid:4711";
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto records = audit_.Of(AuditKind::kFetch);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].decision, AuditDecision::kDeny);
  EXPECT_NE(records[0].reason.find("no registration entry"), std::string::npos);
  EXPECT_EQ(records[0].caller->selectors, std::vector<std::string>{"unix:uid:4711"});
}

TEST_F(WorkloadServiceTest, ADenialsRecordHasAlsoWhatNoEntryAsksFor) {
  selector_ = "unix:uid:4711";
  more_selectors_ = {"unix:path:/usr/bin/agent"};
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto records = audit_.Of(AuditKind::kFetch);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].caller->selectors, (std::vector<std::string>{"unix:path:/usr/bin/agent", "unix:uid:4711"}));
}

TEST_F(WorkloadServiceTest, AnIdentityThatTheRegistryTakesAwayWhileItIsPutOnRecordIsNotShown) {
  audit_.silent = true;
  auto stream = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  ASSERT_EQ(audit_.Of(AuditKind::kFetch).size(), 1u);
  std::ofstream(directory_.path() + "/entries.yaml") << "entries: []\n";
  bool loaded = false;
  registry_->Reload([&](const Status&) { loaded = true; });
  ASSERT_TRUE(RunUntil(loop_, [&] { return loaded; }));
  audit_.AnswerAll();  // before streams are told of the change
  RunUntilIdle(loop_);
  EXPECT_TRUE(stream->call.messages.empty());
  Settle();
  EXPECT_TRUE(stream->call.messages.empty());
  EXPECT_EQ(stream->call.status.value_or(OkStatus()).code(), StatusCode::kPermissionDenied);
}

TEST_F(WorkloadServiceTest, TheFirstMessageDoesNotLeaveOutAnIdentityThatExpiresWhileItIsPutOnRecord) {
  SetRegistry(R"(entries:
  - {spiffe_id: "spiffe://example.org/short", selectors: ["unix:uid:1000"], x509_ttl: 20s}
  - {spiffe_id: "spiffe://example.org/long", selectors: ["unix:uid:1000"], x509_ttl: 60s}
)");
  audit_.silent = true;
  auto stream = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  ASSERT_EQ(audit_.Of(AuditKind::kFetch).size(), 2u);
  clock_.JumpWall(seconds(30));
  audit_.AnswerAll();
  RunUntilIdle(loop_);
  EXPECT_TRUE(stream->call.messages.empty());
  ASSERT_EQ(stream->call.status.value_or(OkStatus()).code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(*stream->call.status).find("the health of the source"), std::string_view::npos);
}

TEST_F(WorkloadServiceTest, WhatIsNotHandedOutSinceItsRecordComesTooLateIsReleasedOnRecord) {
  audit_.silent = true;
  auto stream = Open("FetchX509SVID");
  RunUntilIdle(loop_);
  ASSERT_EQ(audit_.Of(AuditKind::kFetch).size(), 1u);
  clock_.Advance(seconds(5));
  RunUntilIdle(loop_);
  EXPECT_EQ(stream->call.status.value_or(OkStatus()).code(), StatusCode::kUnavailable);
  const auto released = audit_.Of(AuditKind::kRelease);
  ASSERT_EQ(released.size(), 1u);
  EXPECT_NE(released[0].reason.find("not handed out"), std::string::npos);
}

TEST_F(WorkloadServiceTest, ACallThatEndsWhileItIsPutOnRecordLeavesNothingOpen) {
  auto stream = Open("FetchX509SVID");
  while (audit_.Of(AuditKind::kFetch).empty()) loop_.RunOnce(10);
  stream.reset();
  Settle();
  EXPECT_EQ(hub_->subscriptions(), 0u);
  const auto released = audit_.Of(AuditKind::kRelease);
  ASSERT_EQ(released.size(), 1u) << "by the record it would have the identity for ever";
  EXPECT_NE(released[0].reason.find("before it was handed out"), std::string::npos);
}

}  // namespace
}  // namespace lanyard
