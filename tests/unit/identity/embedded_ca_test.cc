#include "node_agent/identity/embedded_ca.h"

#include "pki/jws.h"
#include "tests/support/openssl_cli.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

struct EmbeddedCaTest : ::testing::Test {
  World world;
  EmbeddedCa ca{world.loop, world.clock};

  SigningState MakeState(std::chrono::seconds life = 600s) {
    const WallTime now = world.clock.WallNow();
    const SelfSignedCa root = MakeRootCa(ExampleOrg(), KeyType::kEcP256, now - 60s, now + life).value();
    return {Issuer::Create({root.certificate}, root.key).value(),
            Bundle::Create(ExampleOrg(), {root.certificate}).value()};
  }
  Result<X509Svid> Issue(std::chrono::seconds ttl = 60s) {
    std::optional<Result<X509Svid>> answer;
    ca.Issue({.entry = MakeEntry("refund"), .ttl = ttl}, [&](Result<X509Svid> svid) { answer = std::move(svid); });
    EXPECT_FALSE(answer) << "answered before Issue() returned";
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
};

TEST_F(EmbeddedCaTest, WithoutAnAuthorityEveryAskIsAnsweredUnavailable) {
  EXPECT_EQ(Issue().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(ca.bundle(), nullptr);
  EXPECT_EQ(ca.health().level, HealthLevel::kBroken);
}

TEST_F(EmbeddedCaTest, SignsLeavesThatVerifyAgainstItsBundleAndAreBackdated) {
  ca.Install(MakeState());
  const X509Svid svid = Issue().value();
  BundleSet bundles;
  bundles.Put(*ca.bundle());
  const WallTime now = world.clock.WallNow();
  EXPECT_EQ(VerifyX509Svid(svid.chain(), bundles, now).value().str(), "spiffe://example.org/refund");
  EXPECT_TRUE(VerifyX509Svid(svid.chain(), bundles, now - kLeafBackdate).ok()) << "a verifier whose clock is behind";
  EXPECT_EQ(svid.not_before(), now - kLeafBackdate);
  EXPECT_EQ(svid.not_after(), now + 60s);
}

TEST_F(EmbeddedCaTest, ALeafNeverOutlivesItsIssuer) {
  ca.Install(MakeState(30s));
  EXPECT_EQ(Issue(60s)->not_after(), world.clock.WallNow() + 30s);
  EXPECT_EQ(ca.latest_end(SvidKind::kX509), world.clock.WallNow() + 30s);
  world.clock.Advance(30s);
  EXPECT_EQ(Issue(60s).status().code(), StatusCode::kUnavailable);
}

TEST_F(EmbeddedCaTest, ListenersHearOnlyWhatChanged) {
  int bundles = 0, signers = 0;
  ca.OnBundleChange([&] { ++bundles; });
  ca.OnSignerChange([&] { ++signers; });
  const SigningState first = MakeState(), second = MakeState();
  ca.Install(first);
  EXPECT_EQ(bundles, 1);
  EXPECT_EQ(signers, 1);
  ca.Install(first);
  EXPECT_EQ(bundles, 1);
  EXPECT_EQ(signers, 1);
  const Bundle both = Bundle::Create(ExampleOrg(), {first.issuer.certificate(), second.issuer.certificate()}).value();
  ca.Install({first.issuer, both});
  EXPECT_EQ(bundles, 2);
  EXPECT_EQ(signers, 1);
  ca.Install({second.issuer, both});
  EXPECT_EQ(bundles, 2);
  EXPECT_EQ(signers, 2);
}

TEST_F(EmbeddedCaTest, AnotherChainAboveTheSameIssuerIsToldLikeAnotherIssuer) {
  const std::string extensions =
      "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
      "subjectKeyIdentifier=hash\n";
  const OpensslCli openssl;
  openssl.MakeCertificate("root", "", extensions, "/O=Upstream/CN=root");
  openssl.MakeCertificate("mid", "root", extensions, "/O=Upstream/CN=mid");
  openssl.MakeCertificate("one", "mid", extensions, "/O=Upstream/CN=one");
  const auto read = [&](const std::string& name) { return Certificate::FromPem(openssl.Read(name + ".crt")).value(); };
  const PrivateKey key = PrivateKey::FromPem(openssl.Read("one.key")).value();
  const Bundle bundle = Bundle::Create(ExampleOrg(), {read("root"), read("mid")}).value();
  int signers = 0;
  ca.OnSignerChange([&] { ++signers; });
  ca.Install({Issuer::Create({read("one")}, key).value(), bundle});
  EXPECT_EQ(signers, 1);
  const SigningState longer{Issuer::Create({read("one"), read("mid")}, key).value(), bundle};
  ca.Install(longer);
  EXPECT_EQ(signers, 2) << "who has the shorter chain may need the longer one";
  ca.Install(longer);
  EXPECT_EQ(signers, 2);
}

TEST_F(EmbeddedCaTest, WithdrawnItSignsNothingButKeepsItsBundle) {
  ca.Install(MakeState());
  ca.Withdraw(Error(StatusCode::kUnavailable, "the root has expired"));
  EXPECT_THAT(Text(Issue().status()), HasSubstr("issue spiffe://example.org/refund: the root has expired"));
  EXPECT_NE(ca.bundle(), nullptr);
}

TEST_F(EmbeddedCaTest, NothingIsSignedBeforeItsLifetimeIsCovered) {
  ca.Install(MakeState());
  absl::AnyInvocable<void(Status) &&> covered;
  ca.SetLifetimeGuard([&](SvidKind kind, std::chrono::seconds lifetime, absl::AnyInvocable<void(Status) &&> done) {
    EXPECT_EQ(kind, SvidKind::kX509);
    EXPECT_EQ(lifetime, 60s);
    covered = std::move(done);
  });
  std::optional<Result<X509Svid>> answer;
  ca.Issue({.entry = MakeEntry("refund"), .ttl = 60s}, [&](Result<X509Svid> svid) { answer = std::move(svid); });
  world.Settle();
  EXPECT_FALSE(answer);
  std::move(covered)(Error(StatusCode::kResourceExhausted, "the disk is full"));
  world.Settle();
  EXPECT_THAT(Text(answer->status()), HasSubstr("the disk is full"));
}

TEST_F(EmbeddedCaTest, MayBeDestroyedWhileSigning) {
  auto doomed = std::make_unique<EmbeddedCa>(world.loop, world.clock);
  doomed->Install(MakeState());
  bool answered = false;
  doomed->Issue({.entry = MakeEntry("refund"), .ttl = 60s}, [&](Result<X509Svid>) { answered = true; });
  doomed.reset();
  world.Settle();
  EXPECT_FALSE(answered);
}

struct TokensTest : EmbeddedCaTest {
  TokenSigner jwt = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
  TokenSigner wit = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();

  SigningState WithTokens() {
    SigningState state = MakeState();
    state.tokens = {.jwt = jwt, .wit = wit};
    state.bundle = Bundle::Create(ExampleOrg(), state.bundle.x509_authorities(), {},
                                  {.jwt = {jwt.authority()}, .wit = {wit.authority()}})
                       .value();
    return state;
  }
  Result<JwtSvid> IssueJwt(std::chrono::seconds ttl = 60s) {
    std::optional<Result<JwtSvid>> answer;
    ca.IssueJwt({.entry = MakeEntry("refund"), .audiences = {"reports"}, .ttl = ttl},
                [&](Result<JwtSvid> svid) { answer = std::move(svid); });
    EXPECT_FALSE(answer) << "answered before IssueJwt() returned";
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  Result<WitSvid> IssueWit(std::chrono::seconds ttl = 60s) {
    std::optional<Result<WitSvid>> answer;
    ca.IssueWit({.entry = MakeEntry("refund"), .ttl = ttl}, [&](Result<WitSvid> svid) { answer = std::move(svid); });
    EXPECT_FALSE(answer) << "answered before IssueWit() returned";
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
};

TEST_F(TokensTest, TokensAreSignedByTheKeyOfTheirKindAndValidByItsBundle) {
  ca.Install(WithTokens());
  const JwtSvid jwt_svid = IssueJwt().value();
  const WitSvid wit_svid = IssueWit().value();
  const WallTime now = world.clock.WallNow();
  const BundleSet bundles({*ca.bundle()});
  EXPECT_EQ(ValidateJwtSvid(jwt_svid.token(), "reports", bundles, now).value().id().str(),
            "spiffe://example.org/refund");
  EXPECT_EQ(ValidateWitToken(wit_svid.token(), bundles, now - kLeafBackdate).value().id(), wit_svid.id());
  EXPECT_EQ(jwt_svid.key_id(), jwt.authority().key_id());
  EXPECT_EQ(wit_svid.key_id(), wit.authority().key_id());
  EXPECT_EQ(jwt_svid.expires(), now + 60s);
  EXPECT_EQ(ca.latest_end(SvidKind::kJwt), now + 60s);
  EXPECT_EQ(ca.latest_end(SvidKind::kWit), now + 60s);
  EXPECT_EQ(ca.latest_end(SvidKind::kX509), std::nullopt);
}

TEST_F(TokensTest, WithoutAKeyTokensAreUnavailableWithTheReasonAndCertificatesAreNot) {
  EXPECT_EQ(IssueJwt().status().code(), StatusCode::kUnavailable);
  SigningState state = MakeState();
  state.tokens.why_none = "nobody gave one";
  ca.Install(std::move(state));
  EXPECT_EQ(IssueJwt().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(IssueWit().status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(IssueJwt().status()), HasSubstr("nobody gave one"));
  EXPECT_TRUE(Issue().ok());
}

TEST_F(TokensTest, AnotherKeyForTokensIsToldApartFromAnotherIssuer) {
  int signers = 0, token_signers = 0;
  ca.OnSignerChange([&] { ++signers; });
  ca.OnTokenSignerChange([&] { ++token_signers; });
  SigningState state = WithTokens();
  ca.Install(state);
  EXPECT_EQ(std::pair(signers, token_signers), std::pair(1, 1));
  ca.Install(state);
  EXPECT_EQ(std::pair(signers, token_signers), std::pair(1, 1));
  state.tokens.jwt = TokenSigner::Create(PrivateKey::Generate(KeyType::kEcP256).value()).value();
  ca.Install(state);
  EXPECT_EQ(std::pair(signers, token_signers), std::pair(1, 2));
}

TEST_F(TokensTest, TheIssuerOfJwtSvidsIsTheConfiguredOneAndWitSvidsHaveNone) {
  EmbeddedCa named(world.loop, world.clock, "https://oidc.example.org");
  named.Install(WithTokens());
  std::string jwt_claims, wit_token;
  named.IssueJwt({.entry = MakeEntry("refund"), .audiences = {"a"}, .ttl = 60s},
                 [&](Result<JwtSvid> svid) { jwt_claims = svid.value().claims(); });
  named.IssueWit({.entry = MakeEntry("refund"), .ttl = 60s}, [&](Result<WitSvid> svid) { wit_token = svid->token(); });
  EXPECT_TRUE(RunUntil(world.loop, [&] { return !jwt_claims.empty() && !wit_token.empty(); }));
  EXPECT_THAT(jwt_claims, HasSubstr(R"("iss":"https://oidc.example.org")"));
  EXPECT_THAT(Jws::Parse(wit_token)->payload(), ::testing::Not(HasSubstr("iss")));
}

}  // namespace
}  // namespace lanyard::testing
