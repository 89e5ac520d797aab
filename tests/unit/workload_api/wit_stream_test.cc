#include "workload_api/wit_stream.h"

#include <nlohmann/json.hpp>

#include "pki/jwk.h"
#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

class WitStreamTest : public WorkloadServiceTest {
 protected:
  std::unique_ptr<OpenCall> Fetch(const std::string& spiffe_id = "") {
    WITSVIDRequest request;
    request.set_spiffe_id(spiffe_id);
    auto call = Ask("FetchWITSVID", request.SerializeAsString());
    Settle();
    return call;
  }
  // The token's profile, its signature, and that the key beside it is the one it names.
  void ExpectGood(const WITSVID& svid) {
    const auto token = ValidateWitToken(svid.wit_svid(), BundleSet({*source_.bundle()}), clock_.WallNow());
    ASSERT_TRUE(token.ok()) << token.status();
    EXPECT_EQ(token->id().str(), svid.spiffe_id());
    auto jwk = nlohmann::json::parse(svid.wit_svid_key());
    ASSERT_TRUE(jwk.contains("d")) << "a private key";
    jwk.erase("d");
    EXPECT_EQ(JwkMembersOf(PublicKeyFromJwk(jwk).value()).value(), JwkMembersOf(token->key()).value());
  }
};

TEST_F(WitStreamTest, HandsOutATokenWithItsKeyIdAndHint) {
  const auto stream = Fetch();
  const auto response = stream->call.Last<WITSVIDResponse>();
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/bot");
  EXPECT_EQ(response.svids(0).hint(), "internal");
  ExpectGood(response.svids(0));
  EXPECT_FALSE(stream->call.status) << "the stream stays open";
}

TEST_F(WitStreamTest, ShowsAllIdentitiesInOrderOrTheOneAskedFor) {
  SetRegistry(kTwoEntries);
  const auto all = Fetch();
  ASSERT_EQ(all->call.Last<WITSVIDResponse>().svids_size(), 2);
  EXPECT_EQ(all->call.Last<WITSVIDResponse>().svids(0).spiffe_id(), "spiffe://example.org/zebra");
  const auto one = Fetch("spiffe://example.org/ant");
  ASSERT_EQ(one->call.Last<WITSVIDResponse>().svids_size(), 1);
  EXPECT_EQ(one->call.Last<WITSVIDResponse>().svids(0).spiffe_id(), "spiffe://example.org/ant");
}

TEST_F(WitStreamTest, RefusesAMalformedIdAndDeniesOneThatIsNotTheCallers) {
  EXPECT_EQ(Fetch("ant")->call.status->code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Fetch("spiffe://example.org/other")->call.status->code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(access_.denials(), 1u);
}

TEST_F(WitStreamTest, EndsWhenTheIdentityAskedForGoesThoughAnotherStays) {
  SetRegistry(kTwoEntries);
  auto stream = Fetch("spiffe://example.org/ant");
  stream->call.Deliver();
  SetRegistry(R"(entries:
  - spiffe_id: spiffe://example.org/zebra
    selectors: ["unix:uid:1000"]
)");
  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kPermissionDenied);
}

TEST_F(WitStreamTest, PushesTheRenewedTokenAtHalfLifeWithANewKey) {
  auto stream = Fetch();
  const WITSVID first = stream->call.Last<WITSVIDResponse>().svids(0);
  stream->call.Deliver();
  clock_.Advance(seconds(35));
  Settle();
  ASSERT_EQ(stream->call.messages.size(), 2u);
  const WITSVID next = stream->call.Last<WITSVIDResponse>().svids(0);
  EXPECT_NE(next.wit_svid(), first.wit_svid());
  EXPECT_NE(next.wit_svid_key(), first.wit_svid_key());
  ExpectGood(next);
}

TEST_F(WitStreamTest, ACallerThatIsSomebodyElseByThenGetsNoRenewedToken) {
  auto stream = Fetch();
  stream->call.Deliver();
  selector_ = "unix:uid:4711";
  clock_.Advance(seconds(35));
  Settle();
  EXPECT_EQ(stream->call.messages.size(), 1u);
  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kPermissionDenied);
}

TEST_F(WitStreamTest, IsNotDisturbedByOtherKeysAndMakesNoCertificate) {
  auto stream = Fetch();
  stream->call.Deliver();
  source_.NewRoot();
  hub_->NotifyBundles();
  Settle();
  EXPECT_EQ(stream->call.messages.size(), 1u);
  EXPECT_EQ(source_.issued, 0);
}

TEST_F(WitStreamTest, IsUnavailableWithTheReasonWhenATokenCannotBeSigned) {
  source_.broken = Error(StatusCode::kUnavailable, "no key signs tokens: for a test");
  const auto stream = Fetch();
  ASSERT_TRUE(stream->call.status);
  EXPECT_EQ(stream->call.status->code(), StatusCode::kUnavailable);
  EXPECT_NE(Message(*stream->call.status).find("no key signs tokens: for a test"), std::string_view::npos);
}

TEST_F(WitStreamTest, IsOnRecordFromItsFirstMessageToItsEnd) {
  auto stream = Fetch();
  const auto token = WitToken::ParseUnverified(stream->call.Last<WITSVIDResponse>().svids(0).wit_svid()).value();
  ASSERT_EQ(audit_.Of(AuditKind::kFetch).size(), 1u);
  EXPECT_EQ(audit_.Of(AuditKind::kFetch)[0].serial, token.token_id());
  stream->handler.reset();
  EXPECT_EQ(audit_.Of(AuditKind::kRelease).size(), 1u);
}

}  // namespace
}  // namespace lanyard
