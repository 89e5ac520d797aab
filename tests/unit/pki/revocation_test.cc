// Lists and certificates by the openssl program: a root with a CA below it, and a leaf of each.
#include "pki/revocation.h"

#include "pki/verifier.h"
#include "tests/unit/pki/pki_testing.h"

namespace lanyard::testing {
namespace {

class RevocationTest : public ::testing::Test {
 protected:
  RevocationTest() {
    cli_.MakeCertificate("root", "", kCaExtensions, "/O=Root");
    cli_.MakeCertificate("ca", "root", kCaExtensions, "/O=Ca");
    cli_.MakeCertificate("leaf", "ca", kLeafExtensions + Uri("spiffe://example.org/leaf"));
    cli_.MakeCertificate("direct", "root", kLeafExtensions + Uri("spiffe://example.org/direct"));
    bundles_ = BundleSet({Get(Bundle::Create(Td(), {Read("root")}))});
  }

  Certificate Read(const std::string& name) const { return ReadCertificate(cli_, name); }
  Crl List(const std::string& issuer, const std::vector<std::string>& revoked = {},
           const std::string& options = "-crldays 30") const {
    std::vector<std::string> serials;
    for (const std::string& name : revoked) serials.push_back(Read(name).serial_hex());
    cli_.MakeCrl("list", issuer, serials, "authorityKeyIdentifier=keyid\n", options);
    return Get(Crl::ListFromPem(cli_.Read("list.crl"))).front();
  }
  RevocationLists Next(std::vector<Crl> lists, const RevocationLists& before = {}) const {
    return before.Next(std::move(lists), bundles_, {});
  }
  Status Verify(const std::string& name, const RevocationLists& lists, TimePoint now = Now() + seconds(2)) const {
    std::vector<Certificate> chain = {Read(name)};
    if (name == "leaf") chain.push_back(Read("ca"));
    return VerifyX509Svid(chain, bundles_, now, KeyPurpose::kAny, &lists).status();
  }

  const OpensslCli cli_;
  BundleSet bundles_;
};

TEST_F(RevocationTest, WhoeverNeverSendsListsIsNotChecked) {
  const RevocationLists none = Next({});
  EXPECT_FALSE(none.Covers(Td()));
  EXPECT_TRUE(Verify("leaf", none).ok());
  EXPECT_TRUE(Verify("direct", none).ok());
}

TEST_F(RevocationTest, ARevokedLeafIsRefusedAndOthersAreNot) {
  const RevocationLists lists = Next({List("root"), List("ca", {"leaf"})});
  EXPECT_TRUE(lists.Covers(Td()));
  EXPECT_THAT(Verify("leaf", lists),
              FailsWith(StatusCode::kUnauthenticated, "certificate 0 of the path: it is revoked"));
  EXPECT_TRUE(Verify("direct", lists).ok());
}

TEST_F(RevocationTest, ARevokedCaTakesItsLeavesWithIt) {
  const RevocationLists lists = Next({List("root", {"ca"}), List("ca")});
  EXPECT_THAT(Verify("leaf", lists),
              FailsWith(StatusCode::kUnauthenticated, "certificate 1 of the path: it is revoked"));
  EXPECT_TRUE(Verify("direct", lists).ok());
}

TEST_F(RevocationTest, OnceATrustDomainHasListsALeafWhoseIssuerHasNoneIsRefused) {
  EXPECT_THAT(
      Verify("leaf", Next({List("root")})),
      FailsWith(StatusCode::kUnauthenticated, "certificate 0 of the path: there is no revocation list of its issuer"));
}

TEST_F(RevocationTest, ACaAboveThatNeverHadAListIsNotWaitedFor) {
  EXPECT_TRUE(Verify("leaf", Next({List("ca")})).ok());
  EXPECT_THAT(Verify("leaf", Next({List("ca", {"leaf"})})), FailsWith(StatusCode::kUnauthenticated, "revoked"));
}

TEST_F(RevocationTest, OnceSeenAListThatStaysAwayRefuses) {
  const RevocationLists before = Next({List("root"), List("ca")});
  EXPECT_THAT(Verify("leaf", Next({}, before)), FailsWith(StatusCode::kUnauthenticated, "no revocation list"));
  EXPECT_THAT(Verify("direct", Next({List("ca")}, before)),
              FailsWith(StatusCode::kUnauthenticated, "no revocation list"));
  EXPECT_THAT(Verify("leaf", Next({List("ca")}, Next({}, before))),
              FailsWith(StatusCode::kUnauthenticated, "certificate 1 of the path: there is no revocation list"));
  EXPECT_TRUE(Next({}, before).Covers(Td()));
}

TEST_F(RevocationTest, ATrustDomainStaysCheckedWhenItsAuthoritiesAreReplaced) {
  const RevocationLists before = Next({List("root"), List("ca")});
  cli_.MakeCertificate("fresh", "", kCaExtensions, "/O=Fresh");
  cli_.MakeCertificate("direct", "fresh", kLeafExtensions + Uri("spiffe://example.org/direct"));
  bundles_ = BundleSet({Get(Bundle::Create(Td(), {Read("fresh")}))});
  EXPECT_THAT(Verify("direct", Next({}, before)), FailsWith(StatusCode::kUnauthenticated, "no revocation list"));
  EXPECT_TRUE(Verify("direct", Next({List("fresh")}, before)).ok());
}

TEST_F(RevocationTest, AListThatIsOverOrNotYetValidRefusesEverybodyBelowItsIssuer) {
  const RevocationLists over =
      Next({List("root", {}, "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z")});
  EXPECT_THAT(Verify("direct", over), FailsWith(StatusCode::kUnauthenticated, "is over"));
  const RevocationLists early =
      Next({List("root", {}, "-crl_lastupdate 20400101000000Z -crl_nextupdate 20400201000000Z")});
  EXPECT_THAT(Verify("direct", early), FailsWith(StatusCode::kUnauthenticated, "not valid yet"));
}

TEST_F(RevocationTest, AListOfAnotherKeyWithTheSameNameCountsForNobodyAndSwitchesCheckingOn) {
  cli_.MakeCertificate("impostor", "", kCaExtensions, "/O=Root");
  const RevocationLists forged = Next({List("impostor", {"direct"})});
  EXPECT_TRUE(Verify("direct", forged).ok());  // another key's identifier: it speaks of somebody else
  cli_.MakeCrl("list", "impostor", {}, "");    // version 1, without identifier: it may be meant for this one
  const RevocationLists unclear = Next({Get(Crl::ListFromPem(cli_.Read("list.crl"))).front()});
  EXPECT_THAT(Verify("direct", unclear), FailsWith(StatusCode::kUnauthenticated, "no revocation list"));
}

TEST_F(RevocationTest, OfSeveralListsOfOneIssuerEachIsBelieved) {
  const RevocationLists lists = Next({List("root", {"direct"}), List("root")});
  EXPECT_THAT(Verify("direct", lists), FailsWith(StatusCode::kUnauthenticated, "revoked"));
  const RevocationLists with_old =
      Next({List("root", {}, "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z"), List("root")});
  EXPECT_TRUE(Verify("direct", with_old).ok());
}

TEST_F(RevocationTest, AnIntermediateOfOnesOwnMakesItsTrustDomainChecked) {
  const Issuer issuer = Get(Issuer::Create({Read("ca")}, ReadKey(cli_, "ca")));
  const X509Svid own =
      Get(issuer.IssueLeaf({Id("spiffe://example.org/me"), KeyType::kEcP256, {}, Now(), Now() + hours(1)}));
  const RevocationLists lists = RevocationLists().Next({List("ca")}, bundles_, std::span(&own, 1));
  EXPECT_TRUE(lists.Covers(Td()));
  EXPECT_THAT(Verify("direct", lists), FailsWith(StatusCode::kUnauthenticated, "no revocation list of its issuer"));
  EXPECT_FALSE(lists.Covers(Td("other.org")));
}

}  // namespace
}  // namespace lanyard::testing
