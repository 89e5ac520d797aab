// What the configuration says about who signs, and what.
#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;

TEST(ConfigTest, TakesAGivenIssuerInPlaceOfItsOwnRoots) {
  const Result<Config> config = ParseRest(
      "identity_source: {embedded_ca: {issuer_cert: /etc/ca/i.pem, issuer_key: /etc/ca/i.key, upstream_roots: "
      "/etc/ca/roots.pem}}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->embedded_ca.given.has_value());
  EXPECT_EQ(config->embedded_ca.given->issuer_cert, "/etc/ca/i.pem");
  EXPECT_EQ(config->embedded_ca.given->issuer_key, "/etc/ca/i.key");
  EXPECT_EQ(config->embedded_ca.given->upstream_roots, "/etc/ca/roots.pem");
  EXPECT_EQ(config->embedded_ca.given->issuer_root_crl, "");
}

TEST(ConfigTest, TakesTheRevocationListsOfThoseAboveAGivenIssuer) {
  const Result<Config> config = ParseRest(
      "identity_source: {embedded_ca: {issuer_cert: /etc/ca/i.pem, issuer_key: /etc/ca/i.key, upstream_roots: "
      "/etc/ca/roots.pem, issuer_root_crl: /etc/ca/root.crl}}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->embedded_ca.given->issuer_root_crl, "/etc/ca/root.crl");
  EXPECT_THAT(ErrorsOfRest("identity_source:\n  embedded_ca: {issuer_root_crl: /etc/ca/root.crl}\n"),
              ElementsAre(At("3:3", "issuer_cert is missing"), At("3:3", "issuer_key is missing"),
                          At("3:3", "upstream_roots is missing")));
}

TEST(ConfigTest, AnSvidLivesAtMostASixthOfItsRoot) {
  EXPECT_TRUE(ParseRest("identity_source: {embedded_ca: {ca_ttl: 6h}}\nsvid: {x509_ttl: 1h}\n").ok());
  EXPECT_THAT(ErrorsOfRest("identity_source: {embedded_ca: {ca_ttl: 6h}}\nsvid: {x509_ttl: 3601s}\n"),
              ElementsAre(At("3:8", "longer than a sixth of ca_ttl 6h")));
  // With the default of an hour it is ca_ttl that is at fault.
  EXPECT_THAT(ErrorsOfRest("identity_source: {embedded_ca: {ca_ttl: 5h}}\n"),
              ElementsAre(At("2:33", "longer than a sixth")));
}

TEST(ConfigTest, AGivenIssuerIsCompleteAndExcludesOwnRoots) {
  EXPECT_THAT(ErrorsOfRest("identity_source:\n  embedded_ca:\n    issuer_cert: /etc/i.pem\n"),
              ElementsAre(At("3:3", "issuer_key is missing"), At("3:3", "upstream_roots is missing")));
  EXPECT_THAT(ErrorsOfRest(
                  "identity_source:\n  embedded_ca: {issuer_cert: /a, issuer_key: /b, upstream_roots: /c, ca_ttl: 24h, "
                  "key_type: ec-p256}\n"),
              ElementsAre(At("3:70", "no meaning with a given issuer"), At("3:83", "no meaning with a given issuer")));
}

TEST(ConfigTest, AKeyForTokensGoesWithAGivenIssuer) {
  const auto config = ParseRest(
      "identity_source:\n  embedded_ca: {issuer_cert: /a, issuer_key: /b, upstream_roots: /c, jwt_authority_key: "
      "/d}\n");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(CaOptionsOf(*config).given->jwt_authority_key, "/d");
  EXPECT_THAT(ErrorsOfRest("identity_source:\n  embedded_ca:\n    jwt_authority_key: /d\n"),
              ElementsAre(At("4:5", "goes with a given issuer")));
  EXPECT_THAT(
      ErrorsOfRest("workload_socket: {path: /srv/w/workload.sock}\nidentity_source: {embedded_ca: {issuer_cert: "
                   "/a, issuer_key: /b, upstream_roots: /c, jwt_authority_key: /srv/w/k}}\n"),
      ElementsAre(At("3:86", "jwt_authority_key is in or under")));
}

TEST(ConfigTest, TheLifeOfATokenIsBoundedByThatOfItsKey) {
  EXPECT_EQ(CaOptionsOf(*ParseRest("svid: {jwt_ttl: 90s}\n")).usual_jwt_ttl, std::chrono::seconds(90));
  EXPECT_THAT(ErrorsOfRest("svid: {jwt_ttl: 4s}\n"), ElementsAre(At("2:8", "too short")));
  EXPECT_THAT(ErrorsOfRest("svid: {jwt_ttl: 25h}\n"), ElementsAre(At("2:8", "too long")));
  const std::string ca = "identity_source: {embedded_ca: {ca_ttl: 1h}}\n";
  EXPECT_TRUE(ParseRest(ca + "svid: {x509_ttl: 60s, jwt_ttl: 10m}\n").ok());
  EXPECT_THAT(ErrorsOfRest(ca + "svid: {x509_ttl: 60s, jwt_ttl: 11m}\n"),
              ElementsAre(At("3:23", "a sixth of ca_ttl 1h")));
  EXPECT_TRUE(ParseRest("identity_source: {embedded_ca: {ca_ttl: 60s}}\nsvid: {x509_ttl: 10s}\n").ok())
      << "the default is no reason to refuse a short ca_ttl";
}

}  // namespace
}  // namespace lanyard
