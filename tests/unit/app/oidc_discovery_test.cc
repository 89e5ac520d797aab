// Keys are those of tests/unit/pki/token_vectors.h, as Python's cryptography wrote them.
#include "node_agent/app/oidc_discovery.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "pki/root.h"
#include "tests/support/fake_clock.h"
#include "tests/unit/pki/token_vectors.h"

namespace lanyard {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::kTokenVectors;
using namespace std::chrono_literals;

// The vectors, in their order.
enum Kind { kRsa = 0, kP256 = 3, kP384 = 4, kP521 = 5 };

json Jwk(Kind kind, const char* kid, const char* use) {
  json jwk = json::parse(kTokenVectors[kind].jwk);
  jwk["kid"] = kid;
  jwk["use"] = use;
  return jwk;
}

class OidcDiscoveryTest : public ::testing::Test {
 protected:
  Bundle Of(const std::vector<json>& keys) {
    Result<Bundle> bundle = Bundle::ParseDocument(domain_, json{{"keys", keys}}.dump());
    EXPECT_TRUE(bundle.ok()) << bundle.status();
    return *bundle;
  }
  // What is answered at the path.
  HttpResponse Get(const std::string& path) {
    const HttpRoutes routes = discovery_->Routes();
    const auto found = routes.find(path);
    return found == routes.end() ? HttpResponse{.status = 404} : found->second();
  }
  json Read(const std::string& path) {
    const HttpResponse response = Get(path);
    EXPECT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.content_type, "application/json");
    return json::parse(response.body, nullptr, false);
  }
  void Issuer(const std::string& url) { discovery_ = std::make_unique<OidcDiscovery>(url, 300s); }

  const TrustDomain domain_ = TrustDomain::Parse("example.org").value();
  std::unique_ptr<OidcDiscovery> discovery_ = std::make_unique<OidcDiscovery>("https://oidc.example.org", 300s);
};

constexpr const char* kConfiguration = "/.well-known/openid-configuration";

TEST_F(OidcDiscoveryTest, SaysWhoTheIssuerIsWhereItsKeysAreAndHowTheySign) {
  discovery_->Show(Of({Jwk(kP256, "a", "jwt-svid")}));
  EXPECT_EQ(Read(kConfiguration), (json{{"issuer", "https://oidc.example.org"},
                                        {"jwks_uri", "https://oidc.example.org/keys"},
                                        {"response_types_supported", json::array({"id_token"})},
                                        {"subject_types_supported", json::array({"public"})},
                                        {"id_token_signing_alg_values_supported", json::array({"ES256"})}}));
}

// OpenID Connect Discovery 1.0 §4
TEST_F(OidcDiscoveryTest, BothDocumentsLieBelowThePathOfTheIssuer) {
  for (const char* issuer : {"https://oidc.example.org:8443/node-1", "https://oidc.example.org:8443/node-1/"}) {
    Issuer(issuer);
    discovery_->Show(Of({Jwk(kP256, "a", "jwt-svid")}));
    const json configuration = Read("/node-1/.well-known/openid-configuration");
    EXPECT_EQ(configuration.value("issuer", ""), issuer) << "as tokens say it, byte by byte";
    EXPECT_EQ(configuration.value("jwks_uri", ""), "https://oidc.example.org:8443/node-1/keys");
    EXPECT_EQ(Read("/node-1/keys")["keys"].size(), 1u);
    EXPECT_EQ(Get(kConfiguration).status, 404);
    EXPECT_EQ(Get("/keys").status, 404);
  }
  Issuer("https://oidc.example.org/");
  discovery_->Show(Of({Jwk(kP256, "a", "jwt-svid")}));
  EXPECT_EQ(Read(kConfiguration).value("jwks_uri", ""), "https://oidc.example.org/keys");
}

TEST_F(OidcDiscoveryTest, AKeyIsTheBundlesWithTheUseAndAlgorithmThatLibrariesLookFor) {
  discovery_->Show(Of({Jwk(kP256, "b", "jwt-svid"), Jwk(kRsa, "a", "jwt-svid")}));
  json rsa = Jwk(kRsa, "a", "sig"), p256 = Jwk(kP256, "b", "sig");
  rsa["alg"] = "RS256";
  p256["alg"] = "ES256";
  EXPECT_EQ(Read("/keys"), (json{{"keys", json::array({rsa, p256})}}));
}

TEST_F(OidcDiscoveryTest, TheKeysForOtherSvidsAreNotThere) {
  const Certificate root =
      MakeRootCa(domain_, KeyType::kEcP256, FakeClock().WallNow(), FakeClock().WallNow() + 24h).value().certificate;
  json keys = json::parse(Bundle::Create(domain_, {root}).value().ToDocument())["keys"];
  keys.push_back(Jwk(kP384, "w", "wit-svid"));
  keys.push_back(Jwk(kP256, "j", "jwt-svid"));
  discovery_->Show(Of(keys.get<std::vector<json>>()));
  const json served = Read("/keys");
  ASSERT_EQ(served["keys"].size(), 1u);
  EXPECT_EQ(served["keys"][0].value("kid", ""), "j");
  EXPECT_FALSE(served["keys"][0].contains("x5c"));
  EXPECT_EQ(Read(kConfiguration)["id_token_signing_alg_values_supported"], json::array({"ES256"}));
}

TEST_F(OidcDiscoveryTest, NamesTheAlgorithmOfEveryKindOfKeyOnce) {
  discovery_->Show(Of({Jwk(kP521, "1", "jwt-svid"), Jwk(kRsa, "2", "jwt-svid"), Jwk(kP384, "3", "jwt-svid"),
                       Jwk(kP256, "4", "jwt-svid"), Jwk(kP256, "5", "jwt-svid")}));
  EXPECT_EQ(Read(kConfiguration)["id_token_signing_alg_values_supported"],
            json::array({"ES256", "ES384", "ES512", "RS256"}));
}

TEST_F(OidcDiscoveryTest, TheSameKeysGiveTheSameBytesInWhateverOrderTheyCome) {
  const json a = Jwk(kP256, "a", "jwt-svid"), b = Jwk(kRsa, "b", "jwt-svid");
  discovery_->Show(Of({a, b}));
  const std::string keys = Get("/keys").body, configuration = Get(kConfiguration).body;
  discovery_->Show(Of({b, a}));
  EXPECT_EQ(Get("/keys").body, keys);
  EXPECT_EQ(Get(kConfiguration).body, configuration);
}

TEST_F(OidcDiscoveryTest, AnAnswerMayBeKeptAsLongAsABundleAndAFailureNotAtAll) {
  EXPECT_EQ(Get("/keys").cache_control, "no-store");
  discovery_->Show(Of({Jwk(kP256, "a", "jwt-svid")}));
  EXPECT_EQ(Get("/keys").cache_control, "max-age=300");
  EXPECT_EQ(Get(kConfiguration).cache_control, "max-age=300");
}

TEST_F(OidcDiscoveryTest, WithoutAKeyTheReasonIsSaidAndNoEmptySetIsShown) {
  for (const char* path : {kConfiguration, "/keys"}) {
    EXPECT_EQ(Get(path).status, 503);
    EXPECT_THAT(Get(path).body, HasSubstr("not there yet"));
  }
  discovery_->Show(Of({Jwk(kP256, "a", "jwt-svid")}));
  EXPECT_EQ(Get("/keys").status, 200);
  discovery_->Show(Of({Jwk(kP256, "w", "wit-svid")}));
  for (const char* path : {kConfiguration, "/keys"}) {
    EXPECT_EQ(Get(path).status, 503);
    EXPECT_THAT(Get(path).body, HasSubstr("jwt_authority_key"));
  }
}

}  // namespace
}  // namespace lanyard
