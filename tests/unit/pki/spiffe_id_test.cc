#include "pki/spiffe_id.h"

#include <string>
#include <unordered_set>

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

TEST(SpiffeIdTest, SplitsAValidIdIntoTrustDomainAndPath) {
  const SpiffeId id = Id("spiffe://staging.example.com/payments/web-fe");
  EXPECT_EQ(id.trust_domain().name(), "staging.example.com");
  EXPECT_EQ(id.path(), "/payments/web-fe");
  EXPECT_EQ(id.str(), "spiffe://staging.example.com/payments/web-fe");
  EXPECT_TRUE(id.MemberOf(Td("staging.example.com")));
  EXPECT_FALSE(id.MemberOf(Td("example.com")));
}

TEST(SpiffeIdTest, AcceptsEveryAllowedCharacter) {
  const std::string text =
      "spiffe://abcdefghijklmnopqrstuvwxyz0123456789.-_/ABCDEFGHIJKLMNOPQRSTUVWXYZ/"
      "abcdefghijklmnopqrstuvwxyz0123456789.-_";
  EXPECT_EQ(Id(text).str(), text);
  EXPECT_EQ(Id("spiffe://10.0.0.1/x").trust_domain().name(), "10.0.0.1");
  EXPECT_EQ(Id("spiffe://td/.../..x/x..").path(), "/.../..x/x..");
}

TEST(SpiffeIdTest, AnIdWithoutPathNamesTheTrustDomain) {
  EXPECT_EQ(Id("spiffe://example.org").path(), "");
  EXPECT_EQ(Td().id(), "spiffe://example.org");
}

TEST(SpiffeIdTest, EveryOtherByteIsRefusedInTrustDomainAndPath) {
  const std::string allowed = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool lower = allowed.find(c) != std::string::npos;
    const bool path = lower || (c >= 'A' && c <= 'Z') || c == '/';
    EXPECT_EQ(SpiffeId::Parse(std::string("spiffe://a") + c + "b/x").ok(), lower || c == '/') << byte;
    EXPECT_EQ(SpiffeId::Parse(std::string("spiffe://td/a") + c + "b").ok(), path) << byte;
    EXPECT_EQ(TrustDomain::Parse(std::string("a") + c + "b").ok(), lower) << byte;
  }
}

TEST(SpiffeIdTest, RefusesAnotherScheme) {
  for (const char* text : {"", "example.org/x", "https://example.org/x", "spiffe:/example.org/x", "spiffe:example.org",
                           "://example.org/x", " spiffe://example.org/x", "spiffe//example.org/x"}) {
    EXPECT_THAT(SpiffeId::Parse(text), Refused("spiffe://")) << text;
  }
}

TEST(SpiffeIdTest, RefusesUpperCaseInSchemeAndTrustDomain) {
  EXPECT_THAT(SpiffeId::Parse("SPIFFE://example.org/x"), Refused("does not begin with"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://Example.org/x"), Refused("lower-case"));
}

TEST(SpiffeIdTest, PathIsCaseSensitive) {
  EXPECT_NE(Id("spiffe://td/A"), Id("spiffe://td/a"));
}

TEST(SpiffeIdTest, RefusesAnEmptyTrustDomain) {
  EXPECT_THAT(SpiffeId::Parse("spiffe://"), Refused("trust domain is empty"));
  EXPECT_THAT(SpiffeId::Parse("spiffe:///x"), Refused("trust domain is empty"));
  EXPECT_THAT(TrustDomain::Parse(""), Refused("trust domain is empty"));
}

TEST(SpiffeIdTest, RefusesUserAndPort) {
  EXPECT_THAT(SpiffeId::Parse("spiffe://user@example.org/x"), Refused("'@'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org:8443/x"), Refused("':'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org:/x"), Refused("':'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://[::1]/x"), Refused("'['"));
}

TEST(SpiffeIdTest, RefusesQueryAndFragment) {
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org/x?a=b"), Refused("'?'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org/x#a"), Refused("'#'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org?a"), Refused("'?'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org#a"), Refused("'#'"));
}

TEST(SpiffeIdTest, RefusesPercentEncoding) {
  EXPECT_THAT(SpiffeId::Parse("spiffe://example%2eorg/x"), Refused("'%'"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org/a%2Fb"), Refused("'%'"));
}

TEST(SpiffeIdTest, RefusesNulAndNonAscii) {
  EXPECT_THAT(SpiffeId::Parse(std::string("spiffe://example.org/a\0b", 24)), Refused("byte 0x00"));
  EXPECT_THAT(SpiffeId::Parse("spiffe://example.org/\xc3\xa4"), Refused("byte 0xc3"));
}

TEST(SpiffeIdTest, RefusesEmptyAndRelativeSegmentsAndTrailingSlashes) {
  for (const char* text : {"spiffe://td/", "spiffe://td/a/", "spiffe://td//"})
    EXPECT_THAT(SpiffeId::Parse(text), Refused("ends with '/'")) << text;
  for (const char* text : {"spiffe://td//a", "spiffe://td/a//b"})
    EXPECT_THAT(SpiffeId::Parse(text), Refused("empty segment")) << text;
  for (const char* text : {"spiffe://td/.", "spiffe://td/..", "spiffe://td/a/../b", "spiffe://td/./a"}) {
    EXPECT_THAT(SpiffeId::Parse(text), Refused("relative segment")) << text;
  }
}

TEST(SpiffeIdTest, LimitsAreExact) {
  const std::string prefix = "spiffe://td/";
  EXPECT_TRUE(SpiffeId::Parse(prefix + std::string(2048 - prefix.size(), 'a')).ok());
  EXPECT_THAT(SpiffeId::Parse(prefix + std::string(2049 - prefix.size(), 'a')), Refused("2049 bytes"));
  EXPECT_TRUE(SpiffeId::FromTrustDomainAndPath(Td("td"), "/" + std::string(2048 - prefix.size(), 'a')).ok());
  EXPECT_FALSE(SpiffeId::FromTrustDomainAndPath(Td("td"), "/" + std::string(2049 - prefix.size(), 'a')).ok());
  EXPECT_TRUE(TrustDomain::Parse(std::string(255, 'a')).ok());
  EXPECT_THAT(TrustDomain::Parse(std::string(256, 'a')), Refused("256 bytes"));
  EXPECT_FALSE(SpiffeId::Parse("spiffe://" + std::string(256, 'a') + "/x").ok());
}

TEST(SpiffeIdTest, BuildsFromTrustDomainAndPathByTheSameRules) {
  EXPECT_EQ(Get(SpiffeId::FromTrustDomainAndPath(Td(), "/a/b")), Id("spiffe://example.org/a/b"));
  EXPECT_EQ(Get(SpiffeId::FromTrustDomainAndPath(Td(), "")), Id("spiffe://example.org"));
  for (const char* path : {"a", "/", "/a/", "//a", "/../a", "/a?b", "@evil/x"}) {
    EXPECT_FALSE(SpiffeId::FromTrustDomainAndPath(Td(), path).ok()) << path;
  }
}

TEST(SpiffeIdTest, TrustDomainComesFromANameOrAWholeValidId) {
  EXPECT_EQ(Td("spiffe://example.org"), Td("example.org"));
  EXPECT_EQ(Td("spiffe://example.org/a/b"), Td("example.org"));
  for (const char* text :
       {"spiffe://example.org/", "spiffe://example.org/a b", "https://example.org", "example.org/", "example.org:80"}) {
    EXPECT_FALSE(TrustDomain::Parse(text).ok()) << text;
  }
}

TEST(SpiffeIdTest, EqualIdsHashAlikeAndOrderByText) {
  const std::unordered_set<SpiffeId> set{Id("spiffe://td/a"), Id("spiffe://td/a"), Id("spiffe://td/b")};
  EXPECT_EQ(set.size(), 2u);
  EXPECT_LT(Id("spiffe://td/a"), Id("spiffe://td/b"));
}

}  // namespace
}  // namespace lanyard::testing
