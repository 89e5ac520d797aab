#include "workload_api/jwt_calls.h"

#include "node_agent/audit/audit_line.h"
#include "tests/unit/workload_api/workload_fixture.h"
#include "workload_api/proto/workloadapi.pb.h"

namespace lanyard {
namespace {

class JwtCallsTest : public WorkloadServiceTest {
 protected:
  std::unique_ptr<OpenCall> Fetch(const std::vector<std::string>& audiences, const std::string& spiffe_id = "") {
    JWTSVIDRequest request;
    for (const std::string& audience : audiences) request.add_audience(audience);
    request.set_spiffe_id(spiffe_id);
    auto call = Ask("FetchJWTSVID", request.SerializeAsString());
    Settle();
    return call;
  }
  std::unique_ptr<OpenCall> Validate(const std::string& token, const std::string& audience) {
    ValidateJWTSVIDRequest request;
    request.set_svid(token);
    request.set_audience(audience);
    auto call = Ask("ValidateJWTSVID", request.SerializeAsString());
    Settle();
    return call;
  }
  // The one token of an answer.
  static std::string TokenOf(const OpenCall& call) {
    const auto response = call.call.Last<JWTSVIDResponse>();
    EXPECT_EQ(response.svids_size(), 1);
    return response.svids_size() == 1 ? response.svids(0).svid() : "";
  }
  static StatusCode CodeOf(const OpenCall& call) {
    EXPECT_TRUE(call.call.status) << "not over";
    return call.call.status ? call.call.status->code() : StatusCode::kUnknown;
  }
  static std::string WhyOf(const OpenCall& call) {
    return call.call.status ? std::string(Message(*call.call.status)) : "";
  }
};

TEST_F(JwtCallsTest, HandsOutATokenForTheAudiencesWithIdAndHint) {
  const auto call = Fetch({"billing", "reports"});
  EXPECT_EQ(CodeOf(*call), StatusCode::kOk);
  const auto response = call->call.Last<JWTSVIDResponse>();
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/bot");
  EXPECT_EQ(response.svids(0).hint(), "internal");
  const BundleSet bundles({*source_.bundle()});
  for (const char* audience : {"billing", "reports"}) {
    const auto svid = ValidateJwtSvid(response.svids(0).svid(), audience, bundles, clock_.WallNow());
    ASSERT_TRUE(svid.ok()) << svid.status();
    EXPECT_EQ(svid->id().str(), "spiffe://example.org/bot");
  }
}

TEST_F(JwtCallsTest, HandsOutOneForEachIdentityInTheOrderOfTheRegistryOrTheOneAskedFor) {
  SetRegistry(kTwoEntries);
  const auto all = Fetch({"billing"})->call.Last<JWTSVIDResponse>();
  ASSERT_EQ(all.svids_size(), 2);
  EXPECT_EQ(all.svids(0).spiffe_id(), "spiffe://example.org/zebra");
  EXPECT_EQ(all.svids(1).spiffe_id(), "spiffe://example.org/ant");
  const auto one = Fetch({"billing"}, "spiffe://example.org/ant")->call.Last<JWTSVIDResponse>();
  ASSERT_EQ(one.svids_size(), 1);
  EXPECT_EQ(one.svids(0).spiffe_id(), "spiffe://example.org/ant");
}

TEST_F(JwtCallsTest, TheSameQuestionIsAnsweredFromTheCache) {
  const std::string first = TokenOf(*Fetch({"billing", "reports"}));
  EXPECT_EQ(TokenOf(*Fetch({"reports", "billing"})), first);
  EXPECT_EQ(source_.issued_jwt, 1);
  EXPECT_NE(TokenOf(*Fetch({"billing"})), first);
  EXPECT_EQ(source_.issued_jwt, 2);
}

TEST_F(JwtCallsTest, RefusesARequestWithoutAudience) {
  for (const auto& audiences : {std::vector<std::string>{}, {""}, {"billing", ""}}) {
    const auto call = Fetch(audiences);
    EXPECT_EQ(CodeOf(*call), StatusCode::kInvalidArgument);
    EXPECT_NE(WhyOf(*call).find("audience must be specified"), std::string::npos);
  }
  EXPECT_EQ(looks_, 0) << "nobody is attested for that";
}

TEST_F(JwtCallsTest, RefusesAThousandAudiencesAndTakesAsManyAsItSays) {
  std::vector<std::string> audiences;
  for (int i = 0; i < 1000; ++i) audiences.push_back("a" + std::to_string(i));
  EXPECT_EQ(CodeOf(*Fetch(audiences)), StatusCode::kInvalidArgument);
  audiences.resize(kMostAudiences + 1);
  EXPECT_EQ(CodeOf(*Fetch(audiences)), StatusCode::kInvalidArgument);
  audiences.resize(kMostAudiences);
  EXPECT_EQ(CodeOf(*Fetch(audiences)), StatusCode::kOk);
  EXPECT_EQ(source_.issued_jwt, 1);
}

TEST_F(JwtCallsTest, RefusesAnAudienceThatItsRecordCouldNotShowAsItIs) {
  for (const char* audience : {"x y", " ", "x\ty", "x\ny", "x\x7f", "x\"y", "x\\y", "x\xc2\x80", "x\xc2\x9f"}) {
    const auto call = Fetch({"billing", audience});
    EXPECT_EQ(CodeOf(*call), StatusCode::kInvalidArgument) << audience;
    EXPECT_NE(WhyOf(*call).find("audience 2 has a blank"), std::string::npos) << WhyOf(*call);
  }
  EXPECT_EQ(looks_, 0) << "nobody is attested for that";
  EXPECT_EQ(CodeOf(*Fetch({"https://caf\xc3\xa9.example/a?b=c&d=%20#\xc2\xa7"})), StatusCode::kOk);
}

TEST_F(JwtCallsTest, EveryAudienceOfATokenIsWholeInItsRecord) {
  const std::string first(499, 'a'), second(500, 'b');
  const auto more = Fetch({first + "a", second});
  EXPECT_EQ(CodeOf(*more), StatusCode::kInvalidArgument);
  EXPECT_NE(WhyOf(*more).find("1001 bytes of audiences"), std::string::npos) << WhyOf(*more);
  EXPECT_EQ(CodeOf(*Fetch({first, second})), StatusCode::kOk);
  const std::string resource = first + " " + second;
  const std::string line = FormatAuditLine({.kind = AuditKind::kIssueJwt, .resource = resource}, AuditPlace());
  EXPECT_NE(line.find(resource), std::string::npos);
}

TEST_F(JwtCallsTest, RefusesAMalformedIdBeforeAnybodyIsAttested) {
  for (const char* id : {"example.org/bot", "spiffe://", "spiffe://example.org/bot/", "https://example.org/bot"}) {
    EXPECT_EQ(CodeOf(*Fetch({"billing"}, id)), StatusCode::kInvalidArgument) << id;
  }
  EXPECT_EQ(looks_, 0);
}

TEST_F(JwtCallsTest, DeniesTheIdentityOfAnotherOrOfAnotherTrustDomainAndPutsThatOnRecord) {
  for (const char* id : {"spiffe://example.org/other", "spiffe://partner.example/bot", "spiffe://example.org"}) {
    const auto call = Fetch({"billing"}, id);
    EXPECT_EQ(CodeOf(*call), StatusCode::kPermissionDenied) << id;
    EXPECT_TRUE(call->call.messages.empty());
  }
  EXPECT_EQ(access_.denials(), 3u);
  EXPECT_EQ(source_.issued_jwt, 0);
}

TEST_F(JwtCallsTest, DeniesACallerThatNoEntryMatches) {
  selector_ = "unix:uid:4711";
  EXPECT_EQ(CodeOf(*Fetch({"billing"})), StatusCode::kPermissionDenied);
  EXPECT_EQ(CodeOf(*Validate("x", "billing")), StatusCode::kPermissionDenied);
}

TEST_F(JwtCallsTest, IsUnavailableWithTheReasonWhenATokenCannotBeSigned) {
  source_.broken = Error(StatusCode::kUnavailable, "no key signs tokens: for a test");
  const auto call = Fetch({"billing"});
  EXPECT_EQ(CodeOf(*call), StatusCode::kUnavailable);
  EXPECT_NE(WhyOf(*call).find("no key signs tokens: for a test"), std::string::npos);
}

TEST_F(JwtCallsTest, OneOfTwoThatCannotBeSignedEndsTheCall) {
  SetRegistry(kTwoEntries);
  Fetch({"billing"}, "spiffe://example.org/zebra");
  source_.broken = Error(StatusCode::kUnavailable, "away");
  const auto call = Fetch({"billing"});
  EXPECT_EQ(CodeOf(*call), StatusCode::kUnavailable);
  EXPECT_TRUE(call->call.messages.empty()) << "never a smaller set in silence";
}

TEST_F(JwtCallsTest, WhatIsHandedOutIsOnRecordFirstWithTheTokensId) {
  const auto call = Fetch({"billing"});
  const auto svid = JwtSvid::ParseUnverified(TokenOf(*call)).value();
  const auto records = audit_.Of(AuditKind::kFetch);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].serial, svid.token_id());
  EXPECT_EQ(records[0].spiffe_id, "spiffe://example.org/bot");
  EXPECT_EQ(records[0].decision, AuditDecision::kAllow);
  EXPECT_EQ(records[0].not_after, svid.expires());
  EXPECT_TRUE(audit_.Of(AuditKind::kRelease).empty()) << "who has a token has it until it expires";
}

TEST_F(JwtCallsTest, NothingIsHandedOutThatCannotBePutOnRecord) {
  audit_.broken = Error(StatusCode::kUnavailable, "the disk is full");
  const auto call = Fetch({"billing"});
  EXPECT_EQ(CodeOf(*call), StatusCode::kUnavailable);
  EXPECT_TRUE(call->call.messages.empty());
}

TEST_F(JwtCallsTest, AnIdentityThatTheRegistryTakesAwayMeanwhileIsNotHandedOut) {
  source_.hold_jwts = true;
  const auto call = Fetch({"billing"});
  SetRegistry("entries: []\n");
  source_.SignJwts();
  Settle();
  EXPECT_TRUE(call->call.messages.empty());
  EXPECT_EQ(CodeOf(*call), StatusCode::kUnavailable);
  ASSERT_EQ(audit_.Of(AuditKind::kFetch).size(), 1u);
  EXPECT_EQ(audit_.Of(AuditKind::kFetch)[0].decision, AuditDecision::kDeny);
  EXPECT_EQ(CodeOf(*Fetch({"billing"})), StatusCode::kPermissionDenied);
}

TEST_F(JwtCallsTest, AnEntryThatIsAddedMeanwhileChangesNothing) {
  source_.hold_jwts = true;
  const auto call = Fetch({"billing"});
  SetRegistry(std::string(kOneEntry) +
              "  - spiffe_id: spiffe://example.org/more\n    selectors: [\"unix:uid:1000\"]\n");
  source_.SignJwts();
  Settle();
  EXPECT_EQ(CodeOf(*call), StatusCode::kOk);
}

TEST_F(JwtCallsTest, AClientThatGoesAwayWhileItsTokenIsSignedIsNotAnswered) {
  JWTSVIDRequest request;
  request.add_audience("billing");
  auto call = Ask("FetchJWTSVID", request.SerializeAsString());
  call->handler.reset();
  Settle();
  EXPECT_TRUE(call->call.messages.empty());
}

TEST_F(JwtCallsTest, ValidatesItsOwnTokenAndTellsTheClaims) {
  const std::string token = TokenOf(*Fetch({"billing"}));
  const auto call = Validate(token, "billing");
  EXPECT_EQ(CodeOf(*call), StatusCode::kOk) << WhyOf(*call);
  const auto response = call->call.Last<ValidateJWTSVIDResponse>();
  EXPECT_EQ(response.spiffe_id(), "spiffe://example.org/bot");
  const auto& claims = response.claims().fields();
  EXPECT_EQ(claims.at("sub").string_value(), "spiffe://example.org/bot");
  ASSERT_EQ(claims.at("aud").list_value().values_size(), 1);
  EXPECT_EQ(claims.at("aud").list_value().values(0).string_value(), "billing");
  EXPECT_EQ(claims.at("exp").number_value(),
            static_cast<double>(std::chrono::system_clock::to_time_t(clock_.WallNow()) + 300));
  EXPECT_TRUE(claims.contains("jti"));
  EXPECT_EQ(services_->validations.valid, 1u);
}

TEST_F(JwtCallsTest, AValidationLeavesNothingOnRecord) {
  const std::string token = TokenOf(*Fetch({"billing"}));
  const size_t before = audit_.records.size();
  Validate(token, "billing");
  Validate(token, "reports");
  EXPECT_EQ(audit_.records.size(), before);
}

TEST_F(JwtCallsTest, SaysWhyATokenDoesNotCount) {
  const std::string token = TokenOf(*Fetch({"billing"}));
  const auto expect = [this](const std::string& what, const std::string& audience, const std::string& why) {
    const auto call = Validate(what, audience);
    EXPECT_EQ(CodeOf(*call), StatusCode::kInvalidArgument) << why;
    EXPECT_NE(WhyOf(*call).find(why), std::string::npos) << WhyOf(*call);
  };
  expect(token, "", "audience must be specified");
  expect("", "billing", "svid must be specified");
  expect(token, "reports", "for other audiences");
  expect("garbage", "billing", "validate JWT-SVID");
  // {"alg":"none"}, the claims as they were, and no signature.
  expect("eyJhbGciOiJub25lIn0" + token.substr(token.find('.'), token.rfind('.') - token.find('.')) + ".", "billing",
         "none");
  std::string forged = token;
  forged.at(forged.size() - 10) = forged.at(forged.size() - 10) == 'A' ? 'B' : 'A';
  expect(forged, "billing", "signature");
  clock_.Advance(seconds(300));
  expect(token, "billing", "it has expired");
  EXPECT_EQ(services_->validations.refused, 5u) << "what is no question is not counted";
}

TEST_F(JwtCallsTest, ATokenOfAnAuthorityThatIsNotInTheBundleDoesNotCount) {
  const std::string token = TokenOf(*Fetch({"billing"}));
  source_.NewTokenKeys();
  EXPECT_EQ(CodeOf(*Validate(token, "billing")), StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(*Validate(TokenOf(*Fetch({"reports"})), "reports")), StatusCode::kOk);
}

TEST_F(JwtCallsTest, AWitSvidIsNoJwtSvid) {
  const auto entry = std::make_shared<const Entry>(Entry{.id = SpiffeId::Parse("spiffe://example.org/bot").value()});
  std::optional<WitSvid> wit;
  source_.IssueWit({.entry = entry, .ttl = seconds(60)}, [&](Result<WitSvid> svid) { wit = *std::move(svid); });
  Settle();
  EXPECT_EQ(CodeOf(*Validate(wit->token(), "billing")), StatusCode::kInvalidArgument);
}

TEST_F(JwtCallsTest, WithoutKeysOfItsOwnItCannotTell) {
  const std::string token = TokenOf(*Fetch({"billing"}));
  source_.LoseTokenKeys();
  const auto call = Validate(token, "billing");
  EXPECT_EQ(CodeOf(*call), StatusCode::kUnavailable);
  EXPECT_NE(WhyOf(*call).find("the health of the source"), std::string::npos) << WhyOf(*call);
  EXPECT_EQ(CodeOf(*Validate("garbage", "billing")), StatusCode::kInvalidArgument);
  source_.LoseBundle();
  EXPECT_EQ(CodeOf(*Validate(token, "billing")), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace lanyard
