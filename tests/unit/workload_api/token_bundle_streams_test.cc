#include "workload_api/token_bundle_streams.h"

#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

using TokenBundleStreamsTest = WorkloadServiceTest;

TEST_F(TokenBundleStreamsTest, ShowTheKeysForTheirKindOfTokenAndNoOthers) {
  auto jwt = Open("FetchJWTBundles");
  auto wit = Open("FetchWITBundles");
  RunUntilIdle(loop_);  // the clock stands still: the first message comes at once
  const auto jwts = jwt->call.Last<JWTBundlesResponse>().bundles();
  const auto wits = wit->call.Last<WITBundlesResponse>().bundles();
  ASSERT_EQ(jwts.size(), 1u);
  ASSERT_EQ(wits.size(), 1u);
  EXPECT_EQ(jwts.at("spiffe://example.org"), source_.bundle()->JwtKeySet());
  EXPECT_EQ(wits.at("spiffe://example.org"), source_.bundle()->WitKeySet());
  EXPECT_NE(jwts.at("spiffe://example.org"), wits.at("spiffe://example.org"));
}

TEST_F(TokenBundleStreamsTest, PushNewKeysAndNothingWhenOthersChange) {
  auto jwt = Open("FetchJWTBundles");
  Settle();
  jwt->call.Deliver();
  source_.NewRoot();
  Settle();
  hub_->NotifyBundles();
  Settle();
  EXPECT_EQ(jwt->call.messages.size(), 1u) << "another X.509 authority is no news";
  source_.NewTokenKeys();
  Settle();
  ASSERT_EQ(jwt->call.messages.size(), 2u);
  EXPECT_EQ(jwt->call.Last<JWTBundlesResponse>().bundles().at("spiffe://example.org"), source_.bundle()->JwtKeySet());
}

TEST_F(TokenBundleStreamsTest, NewKeysDoNotDisturbTheStreamsOfCertificates) {
  auto svids = Open("FetchX509SVID");
  auto bundles = Open("FetchX509Bundles");
  Settle();
  svids->call.Deliver();
  bundles->call.Deliver();
  source_.NewTokenKeys();
  Settle();
  EXPECT_EQ(svids->call.messages.size(), 1u);
  EXPECT_EQ(bundles->call.messages.size(), 1u);
}

TEST_F(TokenBundleStreamsTest, AreUnavailableWithTheReasonWithoutKeys) {
  source_.LoseTokenKeys();
  for (const char* method : {"FetchJWTBundles", "FetchWITBundles"}) {
    auto stream = Open(method);
    Settle();
    ASSERT_TRUE(stream->call.status) << method;
    EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
    EXPECT_NE(Message(*stream->call.status).find("the health of the source"), std::string_view::npos);
    EXPECT_TRUE(stream->call.messages.empty());
  }
}

TEST_F(TokenBundleStreamsTest, EndWhenTheKeysGo) {
  auto stream = Open("FetchJWTBundles");
  Settle();
  stream->call.Deliver();
  source_.LoseTokenKeys();
  Settle();
  ASSERT_TRUE(stream->call.status) << "an empty set would say that nobody is to be believed";
  EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
}

TEST_F(TokenBundleStreamsTest, AreForCallersWithAnIdentityAndEndWithIt) {
  auto stream = Open("FetchWITBundles");
  Settle();
  stream->call.Deliver();
  SetRegistry("entries: []\n");
  Settle();
  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kPermissionDenied);
  auto another = Open("FetchJWTBundles");
  Settle();
  ASSERT_TRUE(another->call.status);
  EXPECT_EQ(another->call.status->code(), StatusCode::kPermissionDenied);
}

TEST_F(TokenBundleStreamsTest, IssueNoSvid) {
  auto jwt = Open("FetchJWTBundles");
  auto wit = Open("FetchWITBundles");
  Pass(seconds(120));
  EXPECT_EQ(source_.issued, 0);
  EXPECT_EQ(jwts_->size() + wits_->size() + svids_->size(), 0u);
}

}  // namespace
}  // namespace lanyard
