#include "workload_api/workload_service.h"

#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

TEST_F(WorkloadServiceTest, HandsOutAnSvidWithItsKeyBundleAndHint) {
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto response = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(response.svids_size(), 1);
  const auto& svid = response.svids(0);
  EXPECT_EQ(svid.spiffe_id(), "spiffe://example.org/bot");
  EXPECT_EQ(svid.hint(), "internal");
  EXPECT_EQ(svid.bundle(), source_.bundle()->X509Der());
  const auto parsed = X509Svid::Create(Certificate::ListFromDer(svid.x509_svid()).value(),
                                       PrivateKey::FromPkcs8Der(svid.x509_svid_key()).value());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->id().str(), "spiffe://example.org/bot");
  EXPECT_FALSE(stream->call.status) << "the stream stays open";
}

TEST_F(WorkloadServiceTest, SendsTheFirstMessageWithoutWaiting) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  RunUntilIdle(loop_);  // the clock stands still

  EXPECT_EQ(svids->call.messages.size(), 1u);
  EXPECT_EQ(bundles->call.messages.size(), 1u);
}

TEST_F(WorkloadServiceTest, ListsTheSvidsInTheOrderOfTheRegistry) {
  SetRegistry(kTwoEntries);
  auto stream = Open("FetchX509SVID");
  Settle();

  const auto response = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(response.svids_size(), 2);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/zebra");
  EXPECT_EQ(response.svids(1).spiffe_id(), "spiffe://example.org/ant");
}

TEST_F(WorkloadServiceTest, RefusesACallWithoutTheSecurityHeader) {
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles", "FetchJWTSVID", "FetchJWTBundles", "ValidateJWTSVID",
                             "FetchWITSVID", "FetchWITBundles"}) {
    EXPECT_EQ(Open(method, {})->call.status->code(), StatusCode::kInvalidArgument) << method;
    EXPECT_EQ(Open(method, {"false"})->call.status->code(), StatusCode::kInvalidArgument) << method;
    EXPECT_EQ(Open(method, {"TRUE"})->call.status->code(), StatusCode::kInvalidArgument) << method;
    EXPECT_EQ(Open(method, {"true", "true"})->call.status->code(), StatusCode::kInvalidArgument) << method;
  }
}

TEST_F(WorkloadServiceTest, DeniesACallerThatNoEntryMatches) {
  selector_ = "unix:uid:4711";
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles"}) {
    auto stream = Open(method);
    Settle();
    ASSERT_TRUE(stream->call.status) << method;
    EXPECT_EQ(stream->call.status->code(), StatusCode::kPermissionDenied);
    EXPECT_TRUE(stream->call.messages.empty());
  }
  EXPECT_EQ(access_.denials(), 2u);
}

TEST_F(WorkloadServiceTest, HandsOutNothingWhenTheAttestorFails) {
  attestor_broken_ = Error(StatusCode::kInternal, "proc is not mounted");
  auto stream = Open("FetchX509SVID");
  Settle();

  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(*stream->call.status).find("proc is not mounted"), std::string_view::npos);
  EXPECT_TRUE(stream->call.messages.empty());
}

TEST_F(WorkloadServiceTest, IsUnavailableWhenTheFirstSvidCannotBeIssued) {
  source_.broken = Error(StatusCode::kUnavailable, "the authority is away");
  auto stream = Open("FetchX509SVID");
  Settle();

  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
}

TEST_F(WorkloadServiceTest, IsUnavailableWhileThereIsNoBundle) {
  source_.LoseBundle();
  for (const char* method : {"FetchX509SVID", "FetchX509Bundles"}) {
    auto stream = Open(method);
    Settle();
    ASSERT_TRUE(stream->call.status) << method;
    EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable) << method;
    EXPECT_TRUE(stream->call.messages.empty()) << method;
  }
}

TEST_F(WorkloadServiceTest, EachMessageHoldsAllSvidsWhenOneOfThemIsRenewed) {
  SetRegistry(R"(entries:
  - {spiffe_id: "spiffe://example.org/short", selectors: ["unix:uid:1000"], x509_ttl: 20s}
  - {spiffe_id: "spiffe://example.org/long", selectors: ["unix:uid:1000"], x509_ttl: 60s}
)");
  auto stream = Open("FetchX509SVID");
  Settle();
  const auto first = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(first.svids_size(), 2);
  stream->call.Deliver();

  clock_.Advance(seconds(15));
  Settle();

  ASSERT_EQ(stream->call.messages.size(), 2u);
  const auto next = stream->call.Last<X509SVIDResponse>();
  ASSERT_EQ(next.svids_size(), 2);
  EXPECT_NE(next.svids(0).x509_svid(), first.svids(0).x509_svid());
  EXPECT_EQ(next.svids(1).SerializeAsString(), first.svids(1).SerializeAsString());
}

TEST_F(WorkloadServiceTest, PushesTheRenewedSvidAtHalfLife) {
  auto stream = Open("FetchX509SVID");
  Settle();
  const std::string first = stream->call.Last<X509SVIDResponse>().svids(0).x509_svid();
  stream->call.Deliver();

  clock_.Advance(seconds(35));
  Settle();

  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_NE(stream->call.Last<X509SVIDResponse>().svids(0).x509_svid(), first);
}

TEST_F(WorkloadServiceTest, SkipsVersionsForAStreamThatIsSlow) {
  auto stream = Open("FetchX509SVID");
  Settle();
  for (int renewal = 0; renewal < 4; ++renewal) {
    clock_.Advance(seconds(35));
    Settle();
  }
  ASSERT_EQ(stream->call.messages.size(), 1u) << "the first message is still on its way";

  stream->call.Deliver();
  Settle();

  ASSERT_EQ(stream->call.messages.size(), 2u);
  const std::string leaf = stream->call.Last<X509SVIDResponse>().svids(0).x509_svid();
  EXPECT_GT(Certificate::FromDer(leaf)->not_after(), clock_.WallNow()) << "the newest, not the next";
  stream->call.Deliver();
  Settle();
  EXPECT_EQ(stream->call.messages.size(), 2u) << "nothing was queued";
}

TEST_F(WorkloadServiceTest, KeepsTheStreamOpenWhileRenewalFails) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  source_.broken = Error(StatusCode::kUnavailable, "the authority is away");
  clock_.Advance(seconds(40));
  Settle();
  EXPECT_FALSE(stream->call.status);

  source_.broken = OkStatus();
  Pass(seconds(31));

  EXPECT_FALSE(stream->call.status);
  EXPECT_GE(stream->call.messages.size(), 2u);
}

TEST_F(WorkloadServiceTest, EndsAnOpenStreamWhenItsLastEntryGoes) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  ASSERT_FALSE(svids->call.status);
  ASSERT_FALSE(bundles->call.status);

  SetRegistry("entries: []\n");

  ASSERT_TRUE(svids->call.status);
  EXPECT_EQ(svids->call.status->code(), StatusCode::kPermissionDenied);
  ASSERT_TRUE(bundles->call.status);
  EXPECT_EQ(bundles->call.status->code(), StatusCode::kPermissionDenied);
}

TEST_F(WorkloadServiceTest, PushesAnEntryThatWasAdded) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();

  SetRegistry(std::string(kOneEntry) +
              "  - spiffe_id: spiffe://example.org/second\n    selectors: [\"unix:uid:1000\"]\n");

  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_EQ(stream->call.Last<X509SVIDResponse>().svids_size(), 2);
}

TEST_F(WorkloadServiceTest, PushesAnEntryThatAsksForWhatNoEntryAskedForBefore) {
  more_selectors_ = {"unix:path:/usr/bin/agent"};
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();

  SetRegistry(std::string(kOneEntry) +
              "  - spiffe_id: spiffe://example.org/second\n    selectors: [\"unix:path:/usr/bin/agent\"]\n");

  ASSERT_FALSE(stream->call.status);
  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_EQ(stream->call.Last<X509SVIDResponse>().svids_size(), 2);
}

TEST_F(WorkloadServiceTest, EndsAStreamWhoseEntryGoesWhileItsCallerIsAttestedAgain) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();

  SetRegistry("entries:\n  - spiffe_id: spiffe://example.org/x\n    selectors: [\"unix:path:/usr/bin/other\"]\n");

  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kPermissionDenied);
}

TEST_F(WorkloadServiceTest, DoesNotDisturbAStreamWhoseEntriesAreUnchanged) {
  auto stream = Open("FetchX509SVID");
  Settle();
  stream->call.Deliver();
  const int issued = source_.issued;

  SetRegistry(std::string("# a comment\n") + kOneEntry +
              "  - spiffe_id: spiffe://example.org/x\n    selectors: [\"unix:uid:7\"]\n");

  EXPECT_EQ(stream->call.messages.size(), 1u);
  EXPECT_EQ(source_.issued, issued);
}

TEST_F(WorkloadServiceTest, PushesTheBundleWhenItChanges) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  svids->call.Deliver();
  bundles->call.Deliver();

  source_.NewRoot();
  Settle();

  ASSERT_EQ(bundles->call.messages.size(), 2u);
  EXPECT_EQ(bundles->call.Last<X509BundlesResponse>().bundles().at("spiffe://example.org"),
            source_.bundle()->X509Der());
  ASSERT_EQ(svids->call.messages.size(), 2u);
  EXPECT_EQ(svids->call.Last<X509SVIDResponse>().svids(0).bundle(), source_.bundle()->X509Der());
}

TEST_F(WorkloadServiceTest, SignsOnceForManyStreamsOfOneEntry) {
  std::vector<std::unique_ptr<OpenCall>> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(Open("FetchX509SVID"));
  Settle();

  EXPECT_EQ(source_.issued, 1);
  for (const auto& stream : streams) EXPECT_EQ(stream->call.messages, streams.front()->call.messages);
}

TEST_F(WorkloadServiceTest, ForgetsACallThatEndsInTheMiddleOfAttestation) {
  auto stream = Open("FetchX509SVID");
  stream.reset();
  Settle();

  EXPECT_EQ(source_.issued, 0);
  EXPECT_EQ(hub_->subscriptions(), 0u);
}

}  // namespace
}  // namespace lanyard
