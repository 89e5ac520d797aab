// What fetch bundle and watch jwt do with the authorities of tokens.
#include "tests/unit/app/token_fixture.h"

namespace lanyard {
namespace {

class TokenBundlesTest : public TokenTest {
 protected:
  Ran FetchJson() { return Lanyard({"fetch", "bundle", "--output", "json"}); }

  // The values of "use" in the document of example.org.
  static std::vector<std::string> Uses(const Ran& ran) {
    std::vector<std::string> uses;
    const auto documents = nlohmann::json::parse(ran.out, nullptr, false);
    for (const auto& key : documents["spiffe://example.org"]["keys"]) uses.push_back(key.value("use", ""));
    return uses;
  }
};

TEST_F(TokenBundlesTest, ADocumentHasTheAuthoritiesOfEveryKind) {
  const Ran ran = FetchJson();
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.err, IsEmpty());
  EXPECT_THAT(Uses(ran), ElementsAre("x509-svid", "jwt-svid", "wit-svid"));
  const auto document = nlohmann::json::parse(ran.out, nullptr, false)["spiffe://example.org"];
  const Bundle bundle = *Bundle::ParseDocument(*TrustDomain::Parse("example.org"), document.dump());
  EXPECT_EQ(bundle.jwt_authorities(), tokens_.MakeBundle().jwt_authorities());
  EXPECT_EQ(bundle.wit_authorities(), tokens_.MakeBundle().wit_authorities());
}

TEST_F(TokenBundlesTest, ATrustDomainThatHasTokensAloneHasADocument) {
  (*api_.jwt_bundles[0].mutable_bundles())["spiffe://tokens.example"] = tokens_.MakeBundle().JwtKeySet();
  const auto documents = nlohmann::json::parse(FetchJson().out, nullptr, false);
  EXPECT_EQ(documents["spiffe://tokens.example"]["keys"].size(), 1u);
}

TEST_F(TokenBundlesTest, AnAgentThatDoesNotServeThemStillGivesItsX509Authorities) {
  for (const auto code : {grpc::StatusCode::UNIMPLEMENTED, grpc::StatusCode::UNAVAILABLE}) {
    {
      const std::lock_guard lock(api_.mutex);
      api_.jwt_bundles.clear();
      api_.jwt_end = grpc::Status(code, "not yet");
    }
    const Ran ran = FetchJson();
    EXPECT_EQ(ran.code, kExitOk);
    EXPECT_THAT(Uses(ran), ElementsAre("x509-svid", "wit-svid"));
    EXPECT_THAT(ran.err, AllOf(HasSubstr("without the keys for JWT-SVIDs"), HasSubstr("not yet"),
                               Not(HasSubstr("for WIT-SVIDs"))));
  }
  EXPECT_THAT(Lanyard({"fetch", "bundle"}).err, IsEmpty()) << "PEM is of X.509 authorities alone";
}

TEST_F(TokenBundlesTest, AnyOtherFailureIsOneOfTheVerb) {
  {
    const std::lock_guard lock(api_.mutex);
    api_.wit_end = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not any more");
  }
  EXPECT_EQ(FetchJson().code, kExitDenied);
  {
    const std::lock_guard lock(api_.mutex);
    api_.wit_end = grpc::Status::OK;
    (*api_.jwt_bundles[0].mutable_bundles())["spiffe://example.org"] = "{}";
  }
  const Ran broken = FetchJson();
  EXPECT_EQ(broken.code, kExitFailed);
  EXPECT_THAT(broken.out, IsEmpty());
  EXPECT_THAT(broken.err, HasSubstr("bundle of spiffe://example.org: read JWK Set"));
}

TEST_F(TokenBundlesTest, WatchJwtHasALineForEachUpdateWithTheKeyIds) {
  const TokenAuthority after;
  (*api_.jwt_bundles.emplace_back().mutable_bundles())["spiffe://example.org"] = after.MakeBundle().JwtKeySet();
  const Ran text = Lanyard({"watch", "jwt", "--count", "2"});
  EXPECT_EQ(text.code, kExitOk) << text.err;
  const std::string first = text.out.substr(0, text.out.find('\n')), second = text.out.substr(text.out.find('\n') + 1);
  EXPECT_THAT(first, HasSubstr(" jwt spiffe://example.org 1 authority: key ID " + tokens_.jwt.authority().key_id()));
  EXPECT_THAT(second, HasSubstr(after.jwt.authority().key_id()));
  const Ran json = Lanyard({"watch", "jwt", "--count", "1", "--output", "json"});
  const auto line = nlohmann::json::parse(json.out, nullptr, false);
  EXPECT_EQ(line.value("kind", ""), "jwt");
  EXPECT_EQ(line["bundles"], (nlohmann::json{{{"trust_domain", "spiffe://example.org"},
                                              {"authorities", {tokens_.jwt.authority().key_id()}}}}));
}

TEST_F(TokenBundlesTest, WatchJwtRefusesASetThatIsNoneAndSaysWhyAtOnce) {
  (*api_.jwt_bundles[0].mutable_bundles())["spiffe://example.org"] = R"({"keys":[{"kty":"EC"}]})";
  const Ran ran = Lanyard({"watch", "jwt"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_THAT(ran.err, HasSubstr("entry 1 of \"keys\""));
}

}  // namespace
}  // namespace lanyard
