#include "workload_api/reattestation.h"

#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

inline constexpr char kTwoReasons[] = R"(entries:
  - {spiffe_id: "spiffe://example.org/user", selectors: ["unix:uid:1000"], x509_ttl: 60s}
  - {spiffe_id: "spiffe://example.org/program", selectors: ["unix:path:/usr/bin/agent"], x509_ttl: 60s}
)";

// An SVID of 60 s is renewed at 30 s; callers are attested again after 60 s (the fixture's chance is always a half).
class ReattestationTest : public WorkloadServiceTest {
 protected:
  std::unique_ptr<OpenCall> OpenAndDeliver(const std::string& name) {
    auto stream = Open(name);
    Settle();
    EXPECT_EQ(stream->call.messages.size(), 1u);
    if (stream->call.sending()) stream->call.Deliver();
    return stream;
  }
  static StatusCode EndOf(const OpenCall& stream) { return stream.call.status.value_or(OkStatus()).code(); }
  const LookStats& stats() const { return services_->caller.look_stats; }
  size_t Denials() const {
    size_t denials = 0;
    for (const AuditRecord& record : audit_.records) denials += record.decision == AuditDecision::kDeny ? 1 : 0;
    return denials;
  }
};

TEST_F(ReattestationTest, AnOpenStreamIsAttestedAgainAtTheInterval) {
  auto stream = OpenAndDeliver("FetchX509Bundles");
  const int looks = looks_;
  Pass(seconds(59));
  EXPECT_EQ(looks_, looks);
  Pass(seconds(1));
  EXPECT_EQ(looks_, looks + 1);
  Pass(seconds(61));
  EXPECT_EQ(looks_, looks + 2);
  EXPECT_EQ(stats().same, 2u);
  EXPECT_EQ(stream->call.messages.size(), 1u) << "nothing has changed";
}

TEST_F(ReattestationTest, StreamsThatCameAtOnceDoNotComeAgainAtOnce) {
  std::vector<std::unique_ptr<OpenCall>> streams;
  int drawn = 0;
  services_->caller.random = [&] { return drawn++ % 100 / 100.0; };
  for (int i = 0; i < 100; ++i) streams.push_back(Open("FetchX509Bundles"));
  int most = 0, in_all = 0;
  Pass(seconds(40));
  for (int second = 0; second < 36; ++second) {
    const int before = looks_;
    Pass(seconds(1));
    most = std::max(most, looks_ - before);
    in_all += looks_ - before;
  }
  EXPECT_GE(in_all, 100);
  EXPECT_LE(most, 8);
}

TEST_F(ReattestationTest, ACallerWhoseFactsNoLongerEarnItsEntryLosesItsStreams) {
  auto bundles = OpenAndDeliver("FetchX509Bundles");
  selector_ = "unix:uid:4711";
  Pass(seconds(61));
  EXPECT_EQ(EndOf(*bundles), StatusCode::kPermissionDenied);
  EXPECT_EQ(stats().lost, 1u);
  EXPECT_EQ(Denials(), 1u);
  EXPECT_EQ(hub_->subscriptions(), 0u);
}

TEST_F(ReattestationTest, ARenewedSvidIsNotShownToACallerThatNoLongerEarnsIt) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  selector_ = "unix:uid:4711";
  Pass(seconds(31));
  EXPECT_EQ(source_.issued, 2) << "it was renewed";
  EXPECT_EQ(EndOf(*stream), StatusCode::kPermissionDenied);
  EXPECT_EQ(stream->call.messages.size(), 1u);
}

TEST_F(ReattestationTest, WhatIsLeftIsShownWhenOneOfTwoReasonsIsGone) {
  SetRegistry(kTwoReasons);
  more_selectors_ = {"unix:path:/usr/bin/agent"};
  auto stream = OpenAndDeliver("FetchX509SVID");
  ASSERT_EQ(stream->call.Last<X509SVIDResponse>().svids_size(), 2);
  more_selectors_ = {"unix:path:/usr/bin/other"};
  Pass(seconds(31));
  ASSERT_EQ(stream->call.messages.size(), 2u);
  const auto response = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/user");
  EXPECT_EQ(stats().changed, 1u);
  EXPECT_EQ(EndOf(*stream), StatusCode::kOk);
}

TEST_F(ReattestationTest, AnEntryThatIsAddedNeedsTheFactsOfNow) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  selector_ = "unix:uid:4711";
  SetRegistry(std::string(kOneEntry) +
              "  - {spiffe_id: \"spiffe://example.org/more\", selectors: [\"unix:uid:1000\"]}\n");
  EXPECT_EQ(EndOf(*stream), StatusCode::kPermissionDenied);
  EXPECT_EQ(stream->call.messages.size(), 1u);
}

TEST_F(ReattestationTest, AChangeOfTheRegistryThatDoesNotConcernACallerCostsNoLook) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  const int looks = looks_;
  SetRegistry(std::string(kOneEntry) + "  - {spiffe_id: \"spiffe://example.org/x\", selectors: [\"unix:uid:7\"]}\n");
  EXPECT_EQ(looks_, looks);
}

TEST_F(ReattestationTest, AStreamKeepsItsSetWithoutRenewalWhileNobodyCanFindOut) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  Pass(seconds(45));
  EXPECT_EQ(source_.issued, 2);
  EXPECT_EQ(stream->call.messages.size(), 1u) << "not renewed";
  EXPECT_EQ(EndOf(*stream), StatusCode::kOk) << "and not ended";
  EXPECT_EQ(stats().withheld, 1u);
  EXPECT_GE(stats().undetermined, 2u) << "asked again and again";
  EXPECT_EQ(Denials(), 1u) << "put on record once";
  EXPECT_EQ(access_.denials(), 0u) << "nothing was refused that it had not";

  attestor_broken_ = OkStatus();
  Pass(seconds(7));
  EXPECT_EQ(stream->call.messages.size(), 2u);
  EXPECT_EQ(stats().withheld, 0u);
}

TEST_F(ReattestationTest, AStreamEndsWhenItsSvidExpiresBeforeAnybodyCouldFindOut) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  Pass(seconds(58));
  EXPECT_EQ(EndOf(*stream), StatusCode::kOk);
  Pass(seconds(3));
  ASSERT_EQ(EndOf(*stream), StatusCode::kUnavailable);
  EXPECT_NE(Message(*stream->call.status).find("proc is not mounted"), std::string_view::npos);
  EXPECT_EQ(stream->call.messages.size(), 1u);
  stream.reset();
  EXPECT_EQ(stats().withheld, 0u);
}

TEST_F(ReattestationTest, ADefiniteAnswerEndsTheWaitingAtOnce) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  Pass(seconds(35));
  attestor_broken_ = OkStatus();
  selector_ = "unix:uid:4711";
  Pass(seconds(7));
  EXPECT_EQ(EndOf(*stream), StatusCode::kPermissionDenied);
}

TEST_F(ReattestationTest, ANewBundleComesWithTheSvidInHandWhileRenewalIsWithheld) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  const std::string leaf = stream->call.Last<X509SVIDResponse>().svids(0).x509_svid();
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  Pass(seconds(35));
  source_.NewRoot();
  Settle();
  ASSERT_EQ(stream->call.messages.size(), 2u);
  const auto response = stream->call.Last<X509SVIDResponse>();
  EXPECT_EQ(response.svids(0).bundle(), source_.bundle()->X509Der());
  EXPECT_EQ(response.svids(0).x509_svid(), leaf);
}

TEST_F(ReattestationTest, WhenNobodyCanFindOutAnEntryThatWasAddedIsNotShownAndNothingIsLost) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  SetRegistry(std::string(kOneEntry) +
              "  - {spiffe_id: \"spiffe://example.org/more\", selectors: [\"unix:uid:1000\"]}\n");
  EXPECT_EQ(EndOf(*stream), StatusCode::kOk);
  EXPECT_EQ(stream->call.messages.size(), 1u);
}

TEST_F(ReattestationTest, AnEntryThatIsRemovedIsLostAlthoughNobodyCanFindOut) {
  SetRegistry(kTwoEntries);
  auto stream = OpenAndDeliver("FetchX509SVID");
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  SetRegistry("entries:\n  - {spiffe_id: \"spiffe://example.org/ant\", selectors: [\"unix:uid:1000\"]}\n");
  EXPECT_EQ(EndOf(*stream), StatusCode::kUnavailable) << "no smaller set in silence";
}

TEST_F(ReattestationTest, AStreamThatEndsInTheMiddleOfALookIsForgotten) {
  auto stream = OpenAndDeliver("FetchX509SVID");
  clock_.Advance(seconds(61));
  stream.reset();
  Settle();
  EXPECT_EQ(services_->caller.looks.under_way(), 0u);
  EXPECT_EQ(services_->caller.looks.waiting(), 0u);
}

}  // namespace
}  // namespace lanyard
