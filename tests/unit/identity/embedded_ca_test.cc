#include "node_agent/identity/embedded_ca.h"

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
  EXPECT_EQ(ca.latest_leaf_end(), world.clock.WallNow() + 30s);
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

TEST_F(EmbeddedCaTest, WithdrawnItSignsNothingButKeepsItsBundle) {
  ca.Install(MakeState());
  ca.Withdraw(Error(StatusCode::kUnavailable, "the root has expired"));
  EXPECT_THAT(Text(Issue().status()), HasSubstr("issue spiffe://example.org/refund: the root has expired"));
  EXPECT_NE(ca.bundle(), nullptr);
}

TEST_F(EmbeddedCaTest, NothingIsSignedBeforeItsLifetimeIsCovered) {
  ca.Install(MakeState());
  absl::AnyInvocable<void(Status) &&> covered;
  ca.SetLifetimeGuard([&](std::chrono::seconds lifetime, absl::AnyInvocable<void(Status) &&> done) {
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

}  // namespace
}  // namespace lanyard::testing
