#include "node_agent/app/config_federation.h"

#include "node_agent/app/federation_check.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/app/config_fixture.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The trust domains begin at line 4.
std::string Federation(const std::string& trust_domains) {
  return "federation:\n  trust_domains:\n    " + trust_domains + "\n";
}

TEST(ConfigFederationTest, NamesAFileForEachTrustDomain) {
  const Result<Config> config = ParseRest(
      Federation("partner.example: {bundle_path: /etc/lanyard/partner.json}\n    a.example: {bundle_path: /srv/a}"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(
      config->federation.trust_domains,
      ElementsAre(ForeignBundleFile{TrustDomain::Parse("a.example").value(), "/srv/a"},
                  ForeignBundleFile{TrustDomain::Parse("partner.example").value(), "/etc/lanyard/partner.json"}));
}

TEST(ConfigFederationTest, NoFederationIsFine) {
  for (const char* text : {"federation: {}\n", "federation: {trust_domains: {}}\n"}) {
    const Result<Config> config = ParseRest(text);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_THAT(config->federation.trust_domains, IsEmpty());
  }
}

TEST(ConfigFederationTest, RefusesOurOwnTrustDomain) {
  EXPECT_THAT(ErrorsOfRest(Federation("example.org: {bundle_path: /a}")),
              ElementsAre(At("4:5", "example.org is our own trust domain")));
}

TEST(ConfigFederationTest, RefusesNamesThatAreNone) {
  for (const char* name :
       {"Partner.example", "partner.example:8443", "partner/example", "\"\"", "a%20b", "partner example"}) {
    EXPECT_THAT(ErrorsOfRest(Federation(std::string(name) + ": {bundle_path: /a}")), ElementsAre(At("4:5", "")))
        << name;
  }
  EXPECT_THAT(ErrorsOfRest(Federation("\"spiffe://partner.example\": {bundle_path: /a}")),
              ElementsAre(At("4:5", "by its name alone: partner.example")));
}

TEST(ConfigFederationTest, NeedsAPathThatIsAbsolute) {
  EXPECT_THAT(ErrorsOfRest(Federation("partner.example: {}")), ElementsAre(At("4:5", "bundle_path is missing")));
  EXPECT_THAT(ErrorsOfRest(Federation("partner.example: {bundle_path: partner.json}")),
              ElementsAre(At("4:23", "absolute path")));
  EXPECT_THAT(ErrorsOfRest(Federation("partner.example: /etc/partner.json")),
              ElementsAre(At("4:5", "a map is needed")));
  EXPECT_THAT(ErrorsOfRest(Federation("partner.example: {bundle_paht: /a}")),
              ElementsAre(At("4:5", "bundle_path is missing"), At("4:23", "did you mean 'bundle_path'?")));
  EXPECT_THAT(ErrorsOfRest("federation: {trust_domains: [partner.example]}\n"), ElementsAre(At("2:14", "a map")));
  EXPECT_THAT(ErrorsOfRest("federation: partner.example\n"), ElementsAre(At("2:1", "a map")));
}

TEST(ConfigFederationTest, FetchingIsNotSupportedYetAndNeverIgnored) {
  EXPECT_THAT(ErrorsOfRest(Federation("partner.example: {url: \"https://p\", profile: https_web, bundle_path: /a}")),
              ElementsAre(At("4:23", "'url' is not supported yet"), At("4:41", "'profile' is not supported yet")));
}

TEST(ConfigFederationTest, ReportsEveryErrorAndGoesOn) {
  EXPECT_THAT(ErrorsOfRest(Federation("BAD: {}\n    example.org: {bundle_path: x}\n    c.example: {bundle_path: /c}")),
              ElementsAre(At("4:5", ""), At("4:5", ""), At("5:5", "our own"), At("5:19", "absolute path")));
}

TEST(ConfigFederationTest, OneFileDoesNotSpeakForTwoTrustDomains) {
  EXPECT_THAT(ErrorsOfRest(Federation("a.example: {bundle_path: /srv/a}\n    b.example: {bundle_path: /srv//a}")),
              ElementsAre(At("5:17", "is the bundle of a.example already")));
}

TEST(ConfigFederationTest, ABundleLiesOutsideTheWorkloadSocketsDirectory) {
  EXPECT_THAT(ErrorsOfRest("workload_socket: {path: /srv/w/workload.sock}\n" +
                           Federation("partner.example: {bundle_path: /srv/w/p.json}")),
              ElementsAre(At("5:23", "in or under /srv/w")));
}

TEST(FederationCheckTest, NamesEntriesThatFederateWithATrustDomainWithoutABundle) {
  const auto trust_domain = [](const char* name) { return TrustDomain::Parse(name).value(); };
  const auto entry = [&](const char* id, std::vector<TrustDomain> federates_with) {
    return std::make_shared<const Entry>(
        Entry{.id = SpiffeId::Parse(id).value(), .federates_with = std::move(federates_with)});
  };
  const auto registry = Registry::Build(
      {{entry("spiffe://example.org/a", {trust_domain("known.example"), trust_domain("unknown.example")}),
        {"r.yaml", 2, 5}},
       {entry("spiffe://example.org/b", {trust_domain("known.example")}), {"r.yaml", 9, 5}}});
  EXPECT_THAT(UnknownFederation(*registry, {{trust_domain("known.example"), "/x"}}),
              ElementsAre(testing::AllOf(testing::StartsWith("r.yaml:2:5: spiffe://example.org/a"),
                                         HasSubstr("unknown.example"), testing::Not(HasSubstr(" known.example")))));
}

TEST(FederationCheckTest, NamesBundlesThatCannotBeUsed) {
  const TempDir dir;
  const TrustDomain partner = TrustDomain::Parse("partner.example").value();
  EXPECT_THAT(UnusableBundles({{partner, dir.Path("none.json")}}), ElementsAre(HasSubstr("none.json")));
  EXPECT_THAT(UnusableBundles({{partner, dir.Write("bad.json", "{")}}), ElementsAre(HasSubstr("bad.json")));
  EXPECT_THAT(UnusableBundles({{partner, dir.Write("good.json", R"({"keys":[]})")}}), IsEmpty());
}

}  // namespace
}  // namespace lanyard
