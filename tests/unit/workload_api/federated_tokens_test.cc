// What the token methods show and believe of other trust domains.
#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

constexpr char kFederates[] = R"(entries:
  - spiffe_id: spiffe://example.org/bot
    selectors: ["unix:uid:1000"]
    federates_with: [spiffe://partner.example]
)";

class FederatedTokensTest : public WorkloadServiceTest {
 protected:
  FederatedTokensTest() {
    SetRegistry(kFederates);
    Put(signer_);
    foreign_->SetFiles({{Partner(), files_.Path("partner")}});
    Settle();
  }

  static TrustDomain Partner() { return TrustDomain::Parse("partner.example").value(); }
  static TokenSigner NewSigner() { return TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value(); }
  void Put(const TokenSigner& signer) {
    const Bundle bundle = Bundle::Create(Partner(), {}, {}, {.jwt = {signer.authority()}}).value();
    files_.Write("new", bundle.ToDocument());
    std::filesystem::rename(files_.Path("new"), files_.Path("partner"));
  }
  void SettleFiles() {
    for (int i = 0; i < 3; ++i) loop_.RunOnce(0);
    clock_.Advance(seconds(2));
    Settle();
  }
  std::string TokenOf(const std::string& id) {
    return JwtSvid::Issue(signer_, {.id = SpiffeId::Parse(id).value(),
                                    .audiences = {"billing"},
                                    .issued_at = clock_.WallNow(),
                                    .expires = clock_.WallNow() + seconds(60),
                                    .issuer = "https://partner.example"})
        .value()
        .token();
  }
  std::unique_ptr<OpenCall> Validate(const std::string& token) {
    ValidateJWTSVIDRequest request;
    request.set_svid(token);
    request.set_audience("billing");
    auto call = Ask("ValidateJWTSVID", request.SerializeAsString());
    Settle();
    return call;
  }

  TempDir files_;
  TokenSigner signer_ = NewSigner();
};

TEST_F(FederatedTokensTest, JwtBundlesShowThoseOfTheTrustDomainsThatTheEntriesFederateWith) {
  auto stream = Open("FetchJWTBundles");
  Settle();
  const auto bundles = stream->call.Last<JWTBundlesResponse>().bundles();
  EXPECT_EQ(bundles.size(), 2u);
  EXPECT_EQ(bundles.at("spiffe://partner.example"), foreign_->bundles()->Find(Partner())->JwtKeySet());
  auto wit = Open("FetchWITBundles");
  Settle();
  EXPECT_EQ(wit->call.Last<WITBundlesResponse>().bundles().size(), 1u) << "the partner has no keys for WIT-SVIDs";
}

TEST_F(FederatedTokensTest, AnotherKeyOfThePartnerIsPushed) {
  auto stream = Open("FetchJWTBundles");
  auto wit = Open("FetchWITBundles");
  Settle();
  stream->call.Deliver();
  wit->call.Deliver();
  Put(NewSigner());
  SettleFiles();
  ASSERT_EQ(stream->call.messages.size(), 2u);
  EXPECT_EQ(wit->call.messages.size(), 1u) << "it has none of those keys";
}

TEST_F(FederatedTokensTest, APartnersTokenCountsAndOnlyTheStandardsClaimsAreTold) {
  const auto call = Validate(TokenOf("spiffe://partner.example/bot"));
  ASSERT_TRUE(call->call.status->ok()) << *call->call.status;
  const auto response = call->call.Last<ValidateJWTSVIDResponse>();
  EXPECT_EQ(response.spiffe_id(), "spiffe://partner.example/bot");
  EXPECT_EQ(response.claims().fields().size(), 3u);
  for (const char* name : {"sub", "aud", "exp"}) EXPECT_TRUE(response.claims().fields().contains(name)) << name;
}

TEST_F(FederatedTokensTest, APartnersKeyDoesNotSpeakForUs) {
  const auto call = Validate(TokenOf("spiffe://example.org/bot"));
  EXPECT_EQ(call->call.status->code(), StatusCode::kInvalidArgument);
}

TEST_F(FederatedTokensTest, ATokenOfATrustDomainThatTheCallerDoesNotFederateWithDoesNotCount) {
  SetRegistry(kOneEntry);
  const auto call = Validate(TokenOf("spiffe://partner.example/bot"));
  EXPECT_EQ(call->call.status->code(), StatusCode::kInvalidArgument);
  EXPECT_NE(Message(*call->call.status).find("no bundle for its trust domain"), std::string_view::npos);
}

TEST_F(FederatedTokensTest, APartnersTokenCountsWhereThereAreNoKeysOfOurOwn) {
  source_.LoseTokenKeys();
  EXPECT_TRUE(Validate(TokenOf("spiffe://partner.example/bot"))->call.status->ok());
}

}  // namespace
}  // namespace lanyard
