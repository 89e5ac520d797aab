#include "node_agent/app/config_oidc.h"

#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kIssuer = "oidc: {issuer: \"https://oidc.example.org\"}\n";

std::string Oidc(std::string_view issuer) {
  return fmt::format("oidc: {{issuer: \"{}\"}}\n", issuer);
}
std::vector<std::string> Warnings(const std::string& rest) {
  const Result<Config> config = ParseRest(std::string(kIssuer) + rest);
  EXPECT_TRUE(config.ok()) << config.status();
  return OidcWarnings(*config);
}

TEST(ConfigOidcTest, AnIssuerIsAnHttpsUrlWithoutQueryAndFragment) {
  EXPECT_EQ(CaOptionsOf(*ParseRest(Oidc(""))).jwt_issuer, "");
  for (const char* good : {"https://oidc.example.org", "https://oidc.example.org/", "https://localhost:8443/node-1",
                           "https://192.0.2.1/a/B_c~d.e/"}) {
    const Result<Config> config = ParseRest(Oidc(good));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(CaOptionsOf(*config).jwt_issuer, good) << "tokens say it as it was written";
  }
  for (const char* bad :
       {"http://oidc.example.org", "oidc.example.org", "HTTPS://oidc.example.org", "https://a?b", "https://a#b"}) {
    EXPECT_THAT(ErrorsOfRest(Oidc(bad)), ElementsAre(At("2:8", "https URL without query and fragment"))) << bad;
  }
  EXPECT_THAT(ErrorsOfRest(Oidc("https://a/" + std::string(2040, 'a'))), ElementsAre(At("2:8", "https URL")));
}

TEST(ConfigOidcTest, TheHostOfAnIssuerIsOneThatVerifiersWriteTheSameWay) {
  for (const char* bad : {"https://", "https:///a", "https://OIDC.example.org", "https://a b", "https://*.example.org",
                          "https://[::1]", "https://a."}) {
    EXPECT_THAT(ErrorsOfRest(Oidc(bad)), ElementsAre(At("2:8", "of an issuer"))) << bad;
  }
  for (const char* bad : {"https://a:", "https://a:0", "https://a:65536", "https://a:b", "https://a:1:2"})
    EXPECT_THAT(ErrorsOfRest(Oidc(bad)), ElementsAre(At("2:8", "a number from 1 to 65535"))) << bad;
  EXPECT_THAT(ErrorsOfRest(Oidc("https://me@a")), ElementsAre(At("2:8", "names no user")));
}

TEST(ConfigOidcTest, ThePathOfAnIssuerIsOneThatVerifiersWriteTheSameWay) {
  for (const char* bad :
       {"https://a//", "https://a//b", "https://a/b//c", "https://a/./b", "https://a/b/..", "https://a/b/."})
    EXPECT_THAT(ErrorsOfRest(Oidc(bad)), ElementsAre(At("2:8", "no empty, . or .. segment"))) << bad;
  for (const char* bad : {"https://a/%41", "https://a/b c", "https://a/b\\\\c", "https://a/\xc3\xa9"})
    EXPECT_THAT(ErrorsOfRest(Oidc(bad)), ElementsAre(At("2:8", "letters, digits and"))) << bad;
  EXPECT_THAT(ErrorsOfRest(Oidc("https://a/b/.well-known/openid-configuration")),
              ElementsAre(At("2:8", "leave /.well-known/openid-configuration out")));
}

TEST(ConfigOidcTest, WarnsWhereVerifiersWillNotFindTheKeys) {
  EXPECT_THAT(Warnings(""), ElementsAre(HasSubstr("endpoints.bundle has no address")));
  EXPECT_THAT(Warnings("endpoints: {bundle: {address: \"0.0.0.0:8443\"}}\n"),
              ElementsAre(HasSubstr("a proxy for oidc.example.org end TLS")));
  EXPECT_THAT(Warnings("endpoints: {bundle: {address: \"0.0.0.0:8443\", cert: /a, key: /b}}\n"
                       "identity_source: {embedded_ca: {issuer_cert: /a, issuer_key: /b, upstream_roots: /c}}\n"),
              ElementsAre(HasSubstr("has no jwt_authority_key")));
  EXPECT_THAT(Warnings("endpoints: {bundle: {address: \"0.0.0.0:8443\", cert: /a, key: /b}}\n"), IsEmpty());
  EXPECT_THAT(OidcWarnings(*ParseRest("")), IsEmpty());
}

}  // namespace
}  // namespace lanyard
