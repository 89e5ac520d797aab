#include "workload_api/client/authorizer.h"

#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

TEST(AuthorizerTest, AnIdIsThatIdAlone) {
  const Authorizer authorize = AuthorizeId(Id("spiffe://example.org/agent"));
  EXPECT_TRUE(authorize(Id("spiffe://example.org/agent")).ok());
  EXPECT_THAT(authorize(Id("spiffe://example.org/agent/x")),
              FailsWith(StatusCode::kPermissionDenied, "only spiffe://example.org/agent is"));
  EXPECT_FALSE(authorize(Id("spiffe://other.org/agent")).ok());
}

TEST(AuthorizerTest, OneOfSeveralIsAnyOfThese) {
  const Authorizer authorize = AuthorizeOneOf({Id("spiffe://example.org/a"), Id("spiffe://example.org/b")});
  EXPECT_TRUE(authorize(Id("spiffe://example.org/a")).ok());
  EXPECT_TRUE(authorize(Id("spiffe://example.org/b")).ok());
  EXPECT_FALSE(authorize(Id("spiffe://example.org/c")).ok());
  EXPECT_FALSE(AuthorizeOneOf({})(Id("spiffe://example.org/a")).ok());
}

TEST(AuthorizerTest, AnAgentOrItsTasksAreNobodyBesideOrBelow) {
  const Authorizer authorize = AuthorizeAgentOrTask(Id("spiffe://example.org/agent"));
  EXPECT_TRUE(authorize(Id("spiffe://example.org/agent")).ok());
  EXPECT_TRUE(authorize(Id("spiffe://example.org/agent/task/0198f0c2")).ok());
  EXPECT_FALSE(authorize(Id("spiffe://example.org/agent/task")).ok());
  EXPECT_FALSE(authorize(Id("spiffe://example.org/agent/task/1/2")).ok());
  EXPECT_FALSE(authorize(Id("spiffe://example.org/agent2/task/1")).ok());
  EXPECT_FALSE(authorize(Id("spiffe://example.org/agent/tasks/1")).ok());
  EXPECT_FALSE(authorize(Id("spiffe://other.org/agent/task/1")).ok());
}

TEST(AuthorizerTest, MembersAreThoseOfTheTrustDomain) {
  const Authorizer authorize = AuthorizeMemberOf(Td());
  EXPECT_TRUE(authorize(Id("spiffe://example.org/any/thing")).ok());
  EXPECT_THAT(authorize(Id("spiffe://other.org/x")),
              FailsWith(StatusCode::kPermissionDenied, "a member of example.org"));
}

TEST(AuthorizerTest, APredicateSaysWhoIsExpected) {
  const Authorizer authorize =
      AuthorizeIf([](const SpiffeId& id) { return id.path().ends_with("/reader"); }, "a reader");
  EXPECT_TRUE(authorize(Id("spiffe://example.org/x/reader")).ok());
  EXPECT_THAT(authorize(Id("spiffe://example.org/x")),
              FailsWith(StatusCode::kPermissionDenied, "only a reader is expected"));
}

}  // namespace
}  // namespace lanyard::testing
