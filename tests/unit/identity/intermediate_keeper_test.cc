#include "node_agent/identity/intermediate_keeper.h"

#include "tests/support/openssl_cli.h"
#include "tests/unit/identity/identity_fixture.h"

namespace lanyard::testing {
namespace {

constexpr char kCaExtensions[] =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";

// All certificates are made by openssl: see OpensslCli::MakeCertificate for the commands.
struct IntermediateKeeperTest : ::testing::Test {
  OpensslCli openssl;
  TempDir temp;
  World world;
  CaOptions options{.trust_domain = ExampleOrg()};
  std::unique_ptr<CaKeeper> keeper;
  std::optional<DataDirLock> lock = DataDirLock::Acquire(temp.Path("data")).value();

  void SetUp() override {
    world.clock.JumpWall(
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - world.clock.WallNow()) + 5s);
    openssl.MakeCertificate("root", "", kCaExtensions, "/O=Upstream/CN=root");
    openssl.MakeCertificate("one", "root", kCaExtensions, "/O=Upstream/CN=one", "20");
    openssl.MakeCertificate("two", "root", kCaExtensions, "/O=Upstream/CN=two", "10");
    temp.MakeDir("given", 0700);
    options.given = {temp.Path("given/issuer.pem"), temp.Path("given/issuer.key"), temp.Path("given/roots.pem"), ""};
    Give("one");
    Put(options.given->upstream_roots, openssl.Read("root.crt"), 0644);
  }
  // As a deployment tool does: a new file in place of the old one.
  static void Put(const std::string& path, const std::string& text, mode_t mode) {
    std::ofstream(path + ".new", std::ios::binary) << text;
    chmod((path + ".new").c_str(), mode);
    std::filesystem::rename(path + ".new", path);
  }
  void Give(const std::string& name) {
    Put(options.given->issuer_cert, openssl.Read(name + ".crt"), 0644);
    Put(options.given->issuer_key, openssl.Read(name + ".key"), 0600);
  }
  Status Start() {
    auto made = MakeEmbeddedCa(options, *lock, world.loop, world.clock);
    if (made.ok()) keeper = *std::move(made);
    return made.status();
  }
  X509Svid Issue(std::chrono::seconds ttl = 3600s) {
    std::optional<Result<X509Svid>> answer;
    keeper->source().Issue({.entry = MakeEntry("refund"), .ttl = ttl},
                           [&](Result<X509Svid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return answer->value();
  }
  std::string Signer() { return keeper->Show().at(0).id; }
  void Reload() {
    keeper->Reload();
    world.Settle();
  }
};

TEST_F(IntermediateKeeperTest, LeavesCarryTheIntermediateAndVerifyByOpenssl) {
  const Status started = Start();
  ASSERT_TRUE(started.ok()) << Text(started);
  const X509Svid svid = Issue();
  ASSERT_EQ(svid.chain().size(), 2u);
  openssl.Write("leaf.pem", svid.leaf().ToPem());
  openssl.Write("tail.pem", svid.chain()[1].ToPem());
  openssl.Run("verify -CAfile root.crt -untrusted tail.pem leaf.pem");
  EXPECT_EQ(keeper->source().bundle()->x509_authorities().size(), 1u);
  EXPECT_EQ(keeper->health().level, HealthLevel::kGood);
}

TEST_F(IntermediateKeeperTest, TakesNewFilesAndTellsThatAnotherAuthoritySigns) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Signer();
  int signers = 0;
  keeper->source().OnSignerChange([&] { ++signers; });
  Give("two");
  Reload();
  EXPECT_NE(Signer(), first);
  EXPECT_EQ(signers, 1);
  Reload();
  EXPECT_EQ(signers, 1) << "nothing has changed";
}

TEST_F(IntermediateKeeperTest, NoticesNewFilesByItself) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Signer();
  Give("two");
  EXPECT_TRUE(RunUntil(world.loop, [&] {
    world.clock.Advance(100ms);  // the watcher waits until the burst is over
    return Signer() != first;
  }));
}

TEST_F(IntermediateKeeperTest, AKeyThatDoesNotBelongToTheCertificateIsRefusedAndTheLastGoodOneSignsOn) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Signer();
  Put(options.given->issuer_cert, openssl.Read("two.crt"), 0644);
  Reload();
  EXPECT_EQ(Signer(), first);
  EXPECT_EQ(keeper->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(keeper->health().text, HasSubstr(options.given->issuer_key));
  Issue();
  Put(options.given->issuer_key, openssl.Read("two.key"), 0600);  // the second half of the replacement
  Reload();
  EXPECT_NE(Signer(), first);
  EXPECT_EQ(keeper->health().level, HealthLevel::kGood);
}

TEST_F(IntermediateKeeperTest, GarbageAndVanishedFilesKeepTheLastGoodOne) {
  ASSERT_TRUE(Start().ok());
  const std::string first = Signer();
  for (const std::string& path :
       {options.given->issuer_cert, options.given->issuer_key, options.given->upstream_roots}) {
    std::ifstream in(path);
    const std::string good((std::istreambuf_iterator<char>(in)), {});
    Put(path, "garbage", 0600);
    Reload();
    EXPECT_EQ(Signer(), first);
    EXPECT_THAT(keeper->health().text, HasSubstr(path));
    std::filesystem::remove(path);
    Reload();
    EXPECT_EQ(Signer(), first);
    Issue();
    Put(path, good, path == options.given->issuer_key ? 0600 : 0644);
    Reload();
    EXPECT_EQ(keeper->health().level, HealthLevel::kGood) << keeper->health().text;
  }
}

TEST_F(IntermediateKeeperTest, AnIssuerThatTheUpstreamRootsDoNotVouchForIsRefused) {
  openssl.MakeCertificate("stranger", "", kCaExtensions, "/O=Stranger/CN=root");
  Put(options.given->upstream_roots, openssl.Read("stranger.crt"), 0644);
  EXPECT_THAT(Text(Start()), HasSubstr("does not verify against upstream_roots"));
}

TEST_F(IntermediateKeeperTest, AnUpstreamRootThatOurBundlesDocumentCouldNotNameIsRefused) {
  openssl.MakeKey("ed", "ED25519");
  openssl.MakeCertificate("ed", "", kCaExtensions, "/O=Upstream/CN=ed");
  Put(options.given->upstream_roots, openssl.Read("root.crt") + openssl.Read("ed.crt"), 0644);
  EXPECT_THAT(Text(Start()),
              HasSubstr(options.given->upstream_roots + ": certificate 2: the key is neither RSA nor EC"));
}

TEST_F(IntermediateKeeperTest, ACertificateThatMayNotSignIsRefused) {
  openssl.MakeCertificate("leaf", "root", "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n");
  Give("leaf");
  EXPECT_THAT(Text(Start()), HasSubstr(options.given->issuer_cert));
}

TEST_F(IntermediateKeeperTest, AnIssuerOfAnotherTrustDomainIsRefused) {
  openssl.MakeCertificate("foreign", "root",
                          std::string(kCaExtensions) + "subjectAltName=URI:spiffe://other.example\n");
  Give("foreign");
  EXPECT_FALSE(Start().ok());
}

TEST_F(IntermediateKeeperTest, AKeyThatOthersCanReadIsRefused) {
  chmod(options.given->issuer_key.c_str(), 0644);
  const Status started = Start();
  EXPECT_EQ(started.code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(Text(started), HasSubstr("issuer_key"));
}

TEST_F(IntermediateKeeperTest, ALeafEndsWithItsIssuerAndHealthWarnsBefore) {
  ASSERT_TRUE(Start().ok());
  const WallTime end = keeper->Show()[0].not_after;
  world.clock.JumpWall(std::chrono::floor<std::chrono::seconds>(end - world.clock.WallNow()) - 600s);
  world.Pass(60s, 30s);
  EXPECT_EQ(Issue(3600s).not_after(), end);
  EXPECT_EQ(keeper->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(keeper->health().text, HasSubstr(options.given->issuer_cert));
  world.Pass(600s, 30s);
  EXPECT_EQ(keeper->health().level, HealthLevel::kBroken);
}

TEST_F(IntermediateKeeperTest, RotationIsUpToWhoeverIssuedIt) {
  ASSERT_TRUE(Start().ok());
  Status answer;
  keeper->Rotate([&](Status status) { answer = std::move(status); });
  world.Settle();
  EXPECT_EQ(answer.code(), StatusCode::kFailedPrecondition);
}

TEST_F(IntermediateKeeperTest, MayBeDestroyedWhileReadingItsFiles) {
  ASSERT_TRUE(Start().ok());
  keeper->Reload();
  keeper.reset();
  world.Settle();
}

struct GivenTokenKeyTest : IntermediateKeeperTest {
  void SetUp() override {
    IntermediateKeeperTest::SetUp();
    options.given->jwt_authority_key = temp.Path("given/jwt.key");
    openssl.MakeKey("first");
    openssl.MakeKey("second");
    GiveKey("first");
  }
  void GiveKey(const std::string& name) { Put(options.given->jwt_authority_key, openssl.Read(name + ".key"), 0600); }
  Result<JwtSvid> IssueJwt(std::chrono::seconds ttl = 60s) {
    std::optional<Result<JwtSvid>> answer;
    keeper->source().IssueJwt({.entry = MakeEntry("refund"), .audiences = {"reports"}, .ttl = ttl},
                              [&](Result<JwtSvid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  Result<WitSvid> IssueWit() {
    std::optional<Result<WitSvid>> answer;
    keeper->source().IssueWit({.entry = MakeEntry("refund"), .ttl = 60s},
                              [&](Result<WitSvid> svid) { answer = std::move(svid); });
    EXPECT_TRUE(RunUntil(world.loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  Status Validate(const JwtSvid& svid) {
    const BundleSet bundles({*keeper->source().bundle()});
    return ValidateJwtSvid(svid.token(), "reports", bundles, world.clock.WallNow()).status();
  }
};

TEST_F(GivenTokenKeyTest, WithoutOneTokensAreUnavailableAndHealthSaysSo) {
  options.given->jwt_authority_key.clear();
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(IssueJwt().status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(IssueWit().status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(Text(IssueJwt().status()), HasSubstr("no jwt_authority_key"));
  EXPECT_THAT(keeper->health().text, HasSubstr("JWT-SVIDs and WIT-SVIDs are not issued"));
  EXPECT_EQ(keeper->health().level, HealthLevel::kGood);
  EXPECT_EQ(keeper->source().bundle()->JwtKeySet(), R"({"keys":[]})");
  Issue();
}

TEST_F(GivenTokenKeyTest, SignsBothKindsUnderIdsOfTheirOwn) {
  ASSERT_TRUE(Start().ok());
  const JwtSvid jwt = IssueJwt().value();
  const WitSvid wit = IssueWit().value();
  EXPECT_TRUE(Validate(jwt).ok());
  EXPECT_EQ(wit.key_id(), "wit-" + jwt.key_id());
  const BundleSet bundles({*keeper->source().bundle()});
  EXPECT_TRUE(ValidateWitToken(wit.token(), bundles, world.clock.WallNow()).ok());
  EXPECT_THAT(keeper->health().text, HasSubstr(jwt.key_id()));
}

TEST_F(GivenTokenKeyTest, AReplacedKeySignsAtOnceAndTokensOfTheOneBeforeStayValid) {
  ASSERT_TRUE(Start().ok());
  const JwtSvid before = IssueJwt().value();
  int bundles = 0, signers = 0;
  keeper->source().OnBundleChange([&] { ++bundles; });
  keeper->source().OnTokenSignerChange([&] { ++signers; });
  GiveKey("second");
  Reload();
  EXPECT_EQ(bundles, 1);
  EXPECT_EQ(signers, 1);
  const JwtSvid after = IssueJwt().value();
  EXPECT_NE(after.key_id(), before.key_id());
  EXPECT_TRUE(Validate(before).ok());
  EXPECT_TRUE(Validate(after).ok());
  world.Pass(66s, 5s);
  EXPECT_EQ(keeper->source().bundle()->jwt_authorities().size(), 1u) << "its last token has expired";
}

TEST_F(GivenTokenKeyTest, AKeyThatComesBackSignsAgain) {
  ASSERT_TRUE(Start().ok());
  const std::string first = IssueJwt()->key_id();
  GiveKey("second");
  Reload();
  IssueJwt().value();
  GiveKey("first");
  Reload();
  EXPECT_EQ(IssueJwt()->key_id(), first);
  EXPECT_EQ(keeper->source().bundle()->jwt_authorities().size(), 2u);
}

TEST_F(GivenTokenKeyTest, AKeyThatComesBackAndGoesAgainStaysUntilTheLastTokenThatItEverSigned) {
  ASSERT_TRUE(Start().ok());
  const JwtSvid longest = IssueJwt(60s).value();
  for (const char* key : {"second", "first"}) {
    GiveKey(key);
    Reload();
  }
  ASSERT_EQ(IssueJwt(10s)->key_id(), longest.key_id()) << "it is back";
  for (const char* key : {"second", "first", "second"}) {  // and back again, without signing anything
    GiveKey(key);
    Reload();
  }
  world.Pass(55s, 5s);
  EXPECT_TRUE(Validate(longest).ok()) << Validate(longest);
  world.Pass(11s, 5s);
  EXPECT_EQ(keeper->source().bundle()->jwt_authorities().size(), 1u) << "its last token has expired";
}

TEST_F(GivenTokenKeyTest, ABrokenKeyKeepsTheLastGoodSetAndIsFatalAtStart) {
  ASSERT_TRUE(Start().ok());
  const std::string first = IssueJwt()->key_id();
  Put(options.given->jwt_authority_key, "junk", 0600);
  Reload();
  EXPECT_EQ(IssueJwt()->key_id(), first);
  EXPECT_EQ(keeper->health().level, HealthLevel::kDegraded);
  EXPECT_THAT(keeper->health().text, HasSubstr("jwt_authority_key"));
  EXPECT_THAT(Text(Start()), HasSubstr("jwt_authority_key"));
  Put(options.given->jwt_authority_key, openssl.Read("first.key"), 0644);
  EXPECT_EQ(Start().code(), StatusCode::kPermissionDenied) << "others could read it";
}

}  // namespace
}  // namespace lanyard::testing
